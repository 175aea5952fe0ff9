import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { FormatError, messageOf } from '@deepfever/core'
import { asyncBufferFromFile, parquetMetadataAsync, parquetReadObjects } from 'hyparquet'

/** Vectors by id from a file of any program. */
export interface VectorFile {
  /** sha256 of the file */
  readonly digest: string
  readonly rowCount: number
  rows(): AsyncGenerator<{ readonly id: string; readonly vector: Float32Array }>
}

/**
 * Opens a Parquet file with a text column and a column of lists of numbers, as pandas, polars,
 * DuckDB and this project write them; row groups are read one at a time.
 *
 * @throws FormatError when it is no Parquet file, lacks a column, or a vector is not finite or of
 *   another length than the first
 */
export async function readParquetVectors(
  path: string,
  idColumn: string,
  vectorColumn: string,
): Promise<VectorFile> {
  const fail = (found: string, wanted: string, cause?: unknown): FormatError =>
    new FormatError(`${path}: found ${found}, wanted ${wanted}`, { path, found, wanted }, cause)
  const wanted = `a Parquet file with columns ${idColumn} (text) and ${vectorColumn} (list of float32)`
  const unreadable = (thrown: unknown): never => {
    throw thrown instanceof FormatError ? thrown : fail(messageOf(thrown), wanted, thrown)
  }
  const hash = createHash('sha256')
  try {
    for await (const chunk of createReadStream(path)) hash.update(chunk as Buffer)
  } catch (thrown) {
    unreadable(thrown)
  }
  const file = await asyncBufferFromFile(path)
  const metadata = await parquetMetadataAsync(file).catch(unreadable)
  const columns = metadata.schema.slice(1).map(({ name }) => name)
  for (const column of [idColumn, vectorColumn])
    if (!columns.includes(column)) throw fail(`columns ${columns.join(', ')}`, wanted)
  return {
    digest: hash.digest('hex'),
    rowCount: Number(metadata.num_rows),
    async *rows() {
      let width: number | undefined
      let rowStart = 0
      for (const group of metadata.row_groups) {
        const rowEnd = rowStart + Number(group.num_rows)
        const rows = await parquetReadObjects({
          ...{ file, metadata, rowStart, rowEnd, columns: [idColumn, vectorColumn] },
        }).catch(unreadable)
        for (const [i, row] of rows.entries()) {
          const { [idColumn]: id, [vectorColumn]: list } = row as Record<string, unknown>
          const place = `row ${rowStart + i}`
          if (typeof id !== 'string') throw fail(`${place}: ${typeof id} as id`, wanted)
          if (!Array.isArray(list) && !ArrayBuffer.isView(list))
            throw fail(`${place}: no list as vector`, wanted)
          const vector = Float32Array.from(list as ArrayLike<number>)
          width ??= vector.length
          if (vector.length !== width || width === 0)
            throw fail(`${place}: ${vector.length} numbers`, `${width || 'some'}, as in row 0`)
          if (!vector.every(Number.isFinite))
            throw fail(`${place}: a number that is not finite`, 'finite numbers')
          yield { id, vector }
        }
        rowStart = rowEnd
      }
    },
  }
}
