import { open } from 'node:fs/promises'
import type { RecordBatch, Vector } from 'apache-arrow'
import { sha256OfFile } from '../file-digest.ts'
import { failuresOf, type VectorFile } from './vector-file.ts'

/**
 * Opens an Arrow file with a text column and a column of fixed-size lists of float32, one record
 * batch at a time.
 *
 * @throws FormatError when it is no Arrow file, lacks a column, an id or a number is missing, or a
 *   number is not finite
 */
export async function readArrowVectors(
  path: string,
  idColumn: string,
  vectorColumn: string,
): Promise<VectorFile> {
  const { AsyncRecordBatchFileReader, DataType, Precision } = await import('apache-arrow')
  const { fail, unreadable, readable } = failuresOf(
    path,
    `an Arrow file with columns ${idColumn} (utf8) and ${vectorColumn} (fixed-size list of float32)`,
  )

  async function* batches(): AsyncGenerator<RecordBatch> {
    const handle = await open(path)
    try {
      const reader = await AsyncRecordBatchFileReader.from(handle)
      await reader.open()
      const { fields } = reader.schema
      const typeOf = (name: string) => fields.find(field => field.name === name)?.type
      const list = typeOf(vectorColumn)
      const number: unknown = DataType.isFixedSizeList(list) ? list.valueType : undefined
      const isFloat32 = DataType.isFloat(number) && number.precision === Precision.SINGLE
      if (!isFloat32 || !DataType.isUtf8(typeOf(idColumn)))
        throw fail(
          `columns ${fields.map(({ name, type }) => `${name}: ${String(type)}`).join(', ')}`,
        )
      for await (const batch of reader) yield batch
    } finally {
      await handle.close()
    }
  }

  async function* readRows() {
    let row = 0
    for await (const batch of batches()) {
      const [ids, lists] = [batch.getChild(idColumn)!, batch.getChild(vectorColumn)!]
      const numbers: Vector = lists.getChildAt(0)!
      for (const column of [ids, lists, numbers])
        if (column.nullCount > 0)
          throw fail(`rows ${row} to ${row + batch.numRows - 1}: something missing`)
      const values = numbers.toArray() as Float32Array
      const width = values.length / batch.numRows
      for (let i = 0; i < batch.numRows; i++, row++) {
        const vector = values.slice(i * width, (i + 1) * width)
        if (!vector.every(Number.isFinite))
          throw fail(`row ${row}: a number that is not finite`, 'finite numbers')
        yield { id: ids.get(i) as string, vector }
      }
    }
  }

  const digest = await sha256OfFile(path).catch(unreadable)
  let rowCount = 0
  for await (const { numRows } of readable(batches())) rowCount += numRows
  return { digest, rowCount, rows: () => readable(readRows()) }
}
