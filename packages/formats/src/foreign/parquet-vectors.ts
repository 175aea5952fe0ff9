import {
  asyncBufferFromFile,
  parquetMetadataAsync,
  parquetReadObjects,
  parquetSchema,
  type FileMetaData,
} from 'hyparquet'
import { compressors } from 'hyparquet-compressors'
import { sha256OfFile } from '../file-digest.ts'
import { readColumnPages } from './parquet-pages.ts'
import { failuresOf, type VectorFile } from './vector-file.ts'

/**
 * Opens a Parquet file with a text column and a column of lists of numbers, as pandas, polars,
 * DuckDB and this project write them, in any of their compressions, a page at a time.
 *
 * @throws FormatError when it is no Parquet file, lacks a column, or a vector has a
 *   missing or infinite number or another length than the first
 */
export async function readParquetVectors(
  path: string,
  idColumn: string,
  vectorColumn: string,
): Promise<VectorFile> {
  const { fail, unreadable, readable } = failuresOf(
    path,
    `a Parquet file with columns ${idColumn} (text) and ${vectorColumn} (list of float32)`,
  )
  const digest = await sha256OfFile(path).catch(unreadable)
  const file = await asyncBufferFromFile(path)
  // Without its search for maps, which runs for ever over a negative count of children.
  const metadata = await parquetMetadataAsync(file, { geoparquet: false }).catch(unreadable)
  if (metadata.schema.some(({ num_children: children = 0 }) => children < 0))
    throw fail('a column with less than no children')
  const columns = namesIn(metadata)
  for (const column of [idColumn, vectorColumn])
    if (!columns.includes(column)) throw fail(`columns ${columns.join(', ')}`)
  return {
    digest,
    rowCount: Number(metadata.num_rows),
    rows: () => readable(readRows()),
  }

  function namesIn(of: FileMetaData): readonly string[] {
    try {
      return parquetSchema(of).children.map(({ element }) => element.name)
    } catch (thrown) {
      return unreadable(thrown)
    }
  }

  async function* readRows() {
    let width: number | undefined
    let rowStart = 0
    for (const group of metadata.row_groups) {
      const rowEnd = rowStart + Number(group.num_rows)
      const only = { file, metadata, rowStart, rowEnd, compressors, columns: [idColumn] }
      const ids = await parquetReadObjects(only).catch(unreadable)
      const chunk = group.columns.find(one => one.meta_data?.path_in_schema[0] === vectorColumn)!
      let row = rowStart
      for await (const page of readColumnPages(file, metadata, chunk))
        for (const list of page) {
          const id: unknown = ids[row - rowStart]?.[idColumn]
          const place = `row ${row++}`
          if (typeof id !== 'string') throw fail(`${place}: ${kindOf(id)} as ${idColumn}`)
          const vector = packed(list)
          if (typeof vector === 'string') throw fail(`${place}: ${vector} in ${vectorColumn}`)
          width ??= vector.length
          if (vector.length !== width || width === 0)
            throw fail(`${place}: ${vector.length} numbers`, `${width || 'some'}, as in row 0`)
          if (!vector.every(Number.isFinite))
            throw fail(`${place}: a number that is not finite`, 'finite numbers')
          yield { id, vector }
        }
      if (row !== rowEnd) throw fail(`${row - rowStart} vectors of ${rowEnd - rowStart}`)
      rowStart = rowEnd
    }
  }
}

/** A vector, or in words what stands in its place. */
function packed(row: unknown): Float32Array | string {
  let list = row
  // Levels that may be absent are lists of one.
  while (Array.isArray(list) && list.length === 1 && Array.isArray(list[0])) list = list[0]
  if (!Array.isArray(list)) return kindOf(list)
  const vector = new Float32Array(list.length)
  for (let i = 0; i < list.length; i++) {
    let number = list[i] as unknown
    while (Array.isArray(number) && number.length === 1) number = number[0]
    if (typeof number !== 'number' && typeof number !== 'bigint')
      return `${Array.isArray(number) && number.length > 0 ? 'a list' : kindOf(number)} among numbers`
    vector[i] = Number(number)
  }
  return vector
}

/** `nothing` for null and the empty list, else the type of a value in words. */
const kindOf = (value: unknown): string =>
  value === null || value === undefined || Array.isArray(value) ? 'nothing' : `a ${typeof value}`
