import { createRequire } from 'node:module'
import { pathToFileURL } from 'node:url'
import {
  parquetSchema,
  type AsyncBuffer,
  type ColumnChunk,
  type DecodedArray,
  type FileMetaData,
} from 'hyparquet'
import { compressors } from 'hyparquet-compressors'
import type * as columns from 'hyparquet/src/column.js'
import type * as conversions from 'hyparquet/src/convert.js'
import type * as schemas from 'hyparquet/src/schema.js'

type Parts = typeof columns & typeof conversions & typeof schemas

/** The parts that hyparquet exports by a pattern, which the loader of the tests does not know. */
async function loadParts(): Promise<Parts> {
  const door = pathToFileURL(createRequire(import.meta.url).resolve('hyparquet'))
  const load = (name: string) => import(new URL(`${name}.js`, door).href) as Promise<object>
  const parts = await Promise.all(['column', 'convert', 'schema'].map(load))
  return Object.assign({}, ...parts) as Parts
}

/**
 * The rows of one column of a row group, a page at a time; hyparquet's own readers hold a whole row
 * group as lists of JavaScript values, ten times its size.
 *
 * @returns each row with a list for every level that may repeat or be absent
 */
export async function* readColumnPages(
  file: AsyncBuffer,
  metadata: FileMetaData,
  chunk: ColumnChunk,
): AsyncGenerator<readonly unknown[]> {
  const { parquetHeader, readPage, convert, DEFAULT_PARSERS, getTreePath } = await loadParts()
  const meta = chunk.meta_data
  if (meta === undefined) throw new Error('a column without metadata')
  const schemaPath = getTreePath(parquetSchema(metadata), meta.path_in_schema)
  const decoder = {
    ...{ ...meta, pathInSchema: meta.path_in_schema, schemaPath, compressors },
    ...{ element: schemaPath.at(-1)!.element, parsers: DEFAULT_PARSERS },
  }
  const start = Number(meta.dictionary_page_offset ?? meta.data_page_offset)
  const bytes = await file.slice(start, start + Number(meta.total_compressed_size))
  const reader = { view: new DataView(bytes), offset: 0 }
  let dictionary: DecodedArray | undefined
  // A row may go on in the next page.
  let open: unknown[] = []
  for (let left = Number(meta.num_values); left > 0;) {
    const header = parquetHeader(reader)
    const pageValues = (header.data_page_header ?? header.data_page_header_v2)?.num_values
    // Otherwise a damaged page would be read again and again, or for hours.
    if (header.compressed_page_size < 0 || !((pageValues ?? 1) >= 1 && (pageValues ?? 1) <= left))
      throw new Error(`a page of ${header.compressed_page_size} bytes, ${pageValues} values`)
    if (header.type === 'DICTIONARY_PAGE') {
      dictionary = convert(
        readPage(reader, header, decoder, undefined, undefined, 0).data!,
        decoder,
      )
      continue
    }
    const { data } = readPage(reader, header, decoder, dictionary, open, 0)
    const rows = Array.from(data ?? [])
    if (pageValues === undefined) throw new Error('a page without values')
    left -= pageValues
    open = left > 0 ? rows.splice(-1) : []
    yield rows
  }
}
