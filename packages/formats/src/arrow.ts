import * as arrow from 'apache-arrow'
import { FormatError, messageOf } from '@deepfever/core'
import { checkRow, type Column, type Columns, type Row, type RowOf, type Table } from './table.ts'

const ROWS_PER_BATCH = 256

/** Arrow type of a column; `width` is the list width where the column leaves it open. */
function typeOf(column: Column<unknown>, width: number): arrow.DataType {
  switch (column.type) {
    case 'utf8':
      return new arrow.Utf8()
    case 'int32':
      return new arrow.Int32()
    case 'int64':
      return new arrow.Int64()
    case 'float32':
      return new arrow.Float32()
    case 'bytes':
      return new arrow.Binary()
    case 'float32List':
      return new arrow.FixedSizeList(width, new arrow.Field('item', new arrow.Float32(), false))
  }
}

/** The Arrow schema of a table, with name and version in its metadata. */
function toArrowSchema(table: Table, sample?: Row): arrow.Schema {
  const fields = Object.entries(table.columns).map(([name, column]) => {
    const given = sample?.[name]
    const width = column.width || (given instanceof Float32Array ? given.length : 1)
    return new arrow.Field(name, typeOf(column, width), false)
  })
  const metadata = new Map([
    ['table', table.name],
    ['version', String(table.version)],
  ])
  return new arrow.Schema(fields, metadata)
}

/** One column of a batch: validity is never null, so only values (and offsets) are laid out. */
function toData(type: arrow.DataType, values: readonly unknown[]): arrow.Data {
  const length = values.length
  if (arrow.DataType.isFixedSizeList(type)) {
    const width = type.listSize
    const flat = new Float32Array(length * width)
    values.forEach((v, i) => flat.set(v as Float32Array, i * width))
    const child = arrow.makeData({ type: new arrow.Float32(), data: flat, length: flat.length })
    return arrow.makeData({ type, length, nullCount: 0, child })
  }
  if (arrow.DataType.isUtf8(type) || arrow.DataType.isBinary(type)) {
    const encoder = new TextEncoder()
    const parts = values.map(v => (typeof v === 'string' ? encoder.encode(v) : (v as Uint8Array)))
    const valueOffsets = new Int32Array(length + 1)
    parts.forEach((p, i) => (valueOffsets[i + 1] = valueOffsets[i]! + p.length))
    const data = new Uint8Array(valueOffsets[length]!)
    parts.forEach((p, i) => data.set(p, valueOffsets[i]))
    return arrow.makeData({ type: type as arrow.Binary, length, nullCount: 0, valueOffsets, data })
  }
  if (arrow.DataType.isInt(type) && type.bitWidth === 64) {
    const data = BigInt64Array.from(values as number[], BigInt)
    return arrow.makeData({ type: type as arrow.Int64, length, nullCount: 0, data })
  }
  if (arrow.DataType.isInt(type)) {
    const data = Int32Array.from(values as number[])
    return arrow.makeData({ type: type as arrow.Int32, length, nullCount: 0, data })
  }
  const data = Float32Array.from(values as number[])
  return arrow.makeData({ type: type as arrow.Float32, length, nullCount: 0, data })
}

/** Takes what a writer has ready, so that a file never stands in memory as a whole. */
class Pieces extends arrow.AsyncByteQueue {
  private pieces: Uint8Array[] = []
  override write(value: Uint8Array): void {
    this.pieces.push(value)
  }
  take(): Uint8Array[] {
    return this.pieces.splice(0)
  }
}

function toBatch(schema: arrow.Schema, rows: readonly Row[]): arrow.RecordBatch {
  const children = schema.fields.map(f =>
    toData(
      f.type,
      rows.map(row => row[f.name]),
    ),
  )
  const type = new arrow.Struct(schema.fields)
  const struct = arrow.makeData({ type, length: rows.length, nullCount: 0, children })
  return new arrow.RecordBatch(schema, struct)
}

/** Throws unless the open lists of `row` are as long as those of the first row. */
function checkWidths(table: Table, row: Row, first: Row, place: string): void {
  for (const [name, column] of Object.entries(table.columns)) {
    const list = column.width === 0 ? row[name] : undefined
    const wanted = first[name]
    if (!(list instanceof Float32Array) || !(wanted instanceof Float32Array)) continue
    if (list.length === wanted.length) continue
    throw new FormatError(
      `${place}: column ${name} has ${list.length} values, earlier rows ${wanted.length}`,
      { place, column: name, found: list.length, wanted: wanted.length },
    )
  }
}

/**
 * Rows as one Arrow file (not stream: a cut-off stream reads as fewer rows), piece by piece.
 *
 * @throws FormatError naming column, found and wanted of the first row that does not fit
 */
export async function* encodeArrow<C extends Columns>(
  table: Table<C>,
  rows: Iterable<RowOf<Table<C>>> | AsyncIterable<RowOf<Table<C>>>,
  place: string = table.name,
): AsyncGenerator<Uint8Array> {
  const pieces = new Pieces()
  const writer = new arrow.RecordBatchFileWriter()
  let schema: arrow.Schema | undefined
  let first: Row | undefined
  let batch: Row[] = []
  let count = 0
  for await (const row of rows) {
    const where = `${place} row ${count++}`
    checkRow(table, row, where)
    checkWidths(table, row, (first ??= row), where)
    batch.push(row)
    if (batch.length < ROWS_PER_BATCH) continue
    if (!schema) writer.reset(pieces, (schema = toArrowSchema(table, first)))
    writer.write(toBatch(schema, batch))
    batch = []
    yield* pieces.take()
  }
  if (!schema) writer.reset(pieces, (schema = toArrowSchema(table, first)))
  if (batch.length > 0) writer.write(toBatch(schema, batch))
  writer.finish()
  yield* pieces.take()
}

/** Arrow's own decoder drops a byte order mark at the start of a text. */
const decoder = new TextDecoder('utf-8', { ignoreBOM: true })

const textAt = ({ values, valueOffsets }: arrow.Data<arrow.Utf8>, i: number): string =>
  decoder.decode(values.subarray(valueOffsets[i], valueOffsets[i + 1]))

/** Value of `column` in row `i`; lists and bytes are views into the file's memory. */
function valueAt(column: Column<unknown>, vector: arrow.Vector, i: number): unknown {
  if (column.type === 'utf8') return textAt(vector.data[0] as arrow.Data<arrow.Utf8>, i)
  const value: unknown = vector.get(i)
  if (column.type === 'int64') return Number(value)
  if (column.type === 'float32List') return (value as arrow.Vector).toArray()
  return value
}

/**
 * Reads an Arrow file of `table`, row by row, without copying pictures or lists.
 *
 * @throws FormatError when the schema is not the table's or the bytes are no Arrow file
 */
export function* decodeArrow<C extends Columns>(
  table: Table<C>,
  file: Uint8Array,
  place: string,
): Generator<RowOf<Table<C>>> {
  let batches: Iterable<arrow.RecordBatch>
  try {
    const reader = arrow.RecordBatchReader.from(file)
    reader.open()
    checkSchema(table, reader.schema, place)
    batches = reader as Iterable<arrow.RecordBatch>
  } catch (thrown) {
    if (thrown instanceof FormatError) throw thrown
    throw new FormatError(
      `${place}: not a readable Arrow file: ${messageOf(thrown)}`,
      { place },
      thrown,
    )
  }
  const names = Object.keys(table.columns)
  for (const batch of batches) {
    const vectors = names.map(name => batch.getChild(name)!)
    for (let i = 0; i < batch.numRows; i++) {
      const row: Record<string, unknown> = {}
      names.forEach((name, k) => (row[name] = valueAt(table.columns[name]!, vectors[k]!, i)))
      yield row as RowOf<Table<C>>
    }
  }
}

function checkSchema(table: Table, schema: arrow.Schema, place: string): void {
  const found = schema.fields.map(f => `${f.name}: ${String(f.type)}`)
  const wanted = toArrowSchema(table).fields.map(f => `${f.name}: ${String(f.type)}`)
  const open = (text: string) => text.replace(/FixedSizeList\[\d+\]/, 'FixedSizeList')
  const same =
    found.length === wanted.length &&
    Object.values(table.columns).every((column, i) =>
      column.width === 0 ? open(found[i]!) === open(wanted[i]!) : found[i] === wanted[i],
    )
  const version = `${schema.metadata.get('table')} v${schema.metadata.get('version')}`
  if (same && version === `${table.name} v${table.version}`) return
  throw new FormatError(
    `${place}: found ${version} with columns ${found.join(', ')}; ` +
      `wanted ${table.name} v${table.version} with ${wanted.join(', ')}`,
    { place, found, wanted },
  )
}
