import { PassThrough } from 'node:stream'
import { ParquetReader, ParquetSchema, ParquetWriter } from 'parquetjs'
import { FormatError, messageOf } from '@deepfever/core'
import { checkRow, type Columns, type Row, type RowOf, type Table } from './table.ts'

const PARQUET_TYPES = {
  utf8: 'UTF8',
  int32: 'INT32',
  int64: 'INT64',
  float32: 'FLOAT',
  float32List: 'FLOAT',
  bytes: 'BYTE_ARRAY',
} as const
const ROWS_PER_GROUP = 4096

const toSchema = (table: Table): ParquetSchema =>
  new ParquetSchema(
    Object.fromEntries(
      Object.entries(table.columns).map(([name, { type }]) => [
        name,
        { type: PARQUET_TYPES[type], ...(type === 'float32List' && { repeated: true }) },
      ]),
    ),
  )

/**
 * Rows as one Parquet file, lists as repeated FLOAT columns, piece by piece.
 *
 * @throws FormatError naming column, found and wanted of the first row that does not fit
 */
export async function* encodeParquet<C extends Columns>(
  table: Table<C>,
  rows: Iterable<RowOf<Table<C>>> | AsyncIterable<RowOf<Table<C>>>,
  place: string = table.name,
): AsyncGenerator<Uint8Array> {
  const stream = new PassThrough()
  const chunks: Buffer[] = []
  stream.on('data', (chunk: Buffer) => chunks.push(chunk))
  const writer = await ParquetWriter.openStream(
    toSchema(table),
    stream as unknown as Parameters<typeof ParquetWriter.openStream>[1],
  )
  writer.setRowGroupSize(ROWS_PER_GROUP)
  writer.setMetadata('table', table.name)
  writer.setMetadata('version', String(table.version))
  let count = 0
  for await (const row of rows) {
    checkRow(table, row, `${place} row ${count++}`)
    const stored = Object.entries(row).map(([name, value]) => [
      name,
      value instanceof Float32Array ? Array.from(value) : value,
    ])
    await writer.appendRow(Object.fromEntries(stored) as Record<string, unknown>)
    if (chunks.length > 0) yield* chunks.splice(0)
  }
  const ended = new Promise<void>(resolve => stream.once('end', () => resolve()))
  await writer.close()
  stream.end()
  await ended
  yield* chunks
}

/**
 * Reads a Parquet file of `table`.
 *
 * @throws FormatError when the file is another table or version, or cannot be read
 */
export async function* decodeParquet<C extends Columns>(
  table: Table<C>,
  file: Uint8Array,
  place: string,
): AsyncGenerator<RowOf<Table<C>>> {
  try {
    const reader = await ParquetReader.openBuffer(
      Buffer.from(file.buffer, file.byteOffset, file.length),
    )
    const { table: name, version } = reader.getMetadata() as Record<string, string>
    const found = `${name} v${version}`
    const wanted = `${table.name} v${table.version}`
    if (found !== wanted)
      throw new FormatError(`${place}: found ${found}, wanted ${wanted}`, { place, found, wanted })
    const cursor = reader.getCursor()
    for (;;) {
      const record = (await cursor.next()) as Record<string, unknown> | null
      if (!record) return
      const row: Record<string, unknown> = {}
      for (const [column, { type }] of Object.entries(table.columns)) {
        const value = record[column]
        row[column] =
          type === 'float32List'
            ? Float32Array.from(value as number[])
            : type === 'int64'
              ? Number(value)
              : value
      }
      checkRow(table, row as Row, place)
      yield row as RowOf<Table<C>>
    }
  } catch (thrown) {
    if (thrown instanceof FormatError) throw thrown
    throw new FormatError(
      `${place}: not a readable Parquet file: ${messageOf(thrown)}`,
      { place },
      thrown,
    )
  }
}
