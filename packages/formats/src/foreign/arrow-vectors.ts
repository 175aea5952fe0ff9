import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { open } from 'node:fs/promises'
import { FormatError, messageOf } from '@deepfever/core'
import type { VectorFile } from './parquet-vectors.ts'

/**
 * Opens an Arrow file with a text column and a column of fixed-size lists of float32, one record
 * batch at a time.
 *
 * @throws FormatError when it is no Arrow file, lacks a column, or a vector is not finite
 */
export async function readArrowVectors(
  path: string,
  idColumn: string,
  vectorColumn: string,
): Promise<VectorFile> {
  const arrow = await import('apache-arrow')
  const fail = (found: string, wanted: string, cause?: unknown): FormatError =>
    new FormatError(`${path}: found ${found}, wanted ${wanted}`, { path, found, wanted }, cause)
  const wanted = `an Arrow file with columns ${idColumn} (utf8) and ${vectorColumn} (fixed-size list of float32)`
  const unreadable = (thrown: unknown): never => {
    throw thrown instanceof FormatError ? thrown : fail(messageOf(thrown), wanted, thrown)
  }
  const hash = createHash('sha256')
  try {
    for await (const chunk of createReadStream(path)) hash.update(chunk as Buffer)
  } catch (thrown) {
    unreadable(thrown)
  }

  async function* batches() {
    const handle = await open(path)
    try {
      const reader = await arrow.AsyncRecordBatchFileReader.from(handle)
      await reader.open()
      const { fields } = reader.schema
      const typeOf = (name: string) => fields.find(field => field.name === name)?.type
      const list = typeOf(vectorColumn)
      const isList = arrow.DataType.isFixedSizeList(list) && arrow.DataType.isFloat(list.valueType)
      if (!isList || !arrow.DataType.isUtf8(typeOf(idColumn)))
        throw fail(
          `columns ${fields.map(({ name, type }) => `${name}: ${String(type)}`).join(', ')}`,
          wanted,
        )
      for await (const batch of reader) yield batch
    } finally {
      await handle.close()
    }
  }

  let rowCount = 0
  try {
    for await (const { numRows } of batches()) rowCount += numRows
  } catch (thrown) {
    unreadable(thrown)
  }
  return {
    digest: hash.digest('hex'),
    rowCount,
    async *rows() {
      let row = 0
      for await (const batch of batches()) {
        const ids = batch.getChild(idColumn)!
        const values = batch.getChild(vectorColumn)!.getChildAt(0)!.toArray() as Float32Array
        const width = values.length / batch.numRows
        for (let i = 0; i < batch.numRows; i++, row++) {
          const vector = values.slice(i * width, (i + 1) * width)
          if (!vector.every(Number.isFinite))
            throw fail(`row ${row}: a number that is not finite`, 'finite numbers')
          yield { id: ids.get(i) as string, vector }
        }
      }
    },
  }
}
