import { FormatError } from '@deepfever/core'

/** How one column is stored, checked and described. */
export interface Column<T> {
  readonly type: 'utf8' | 'int32' | 'int64' | 'float32' | 'float32List' | 'bytes'
  readonly doc: string
  /** values a row of a `float32List` */
  readonly width: number
  /** what a value should be, for errors and documentation */
  readonly wanted: string
  accepts(value: unknown): value is T
}

/** Columns by name, in stored order. */
export type Columns = Readonly<Record<string, Column<unknown>>>

/** Arrow for tables that stages stream, Parquet for tables that people open elsewhere. */
export type Storage = 'arrow' | 'parquet'

/** One definition: row type, Arrow and Parquet schema, checks and documentation come from it. */
export interface Table<C extends Columns = Columns> {
  readonly name: string
  readonly version: number
  readonly columns: C
  readonly storage: Storage
}

type ValueOf<C> = C extends Column<infer T> ? T : never

/** The row type of a table. */
export type RowOf<T extends Table> = {
  readonly [K in keyof T['columns']]: ValueOf<T['columns'][K]>
}

/** Any row, by column name. */
export type Row = Readonly<Record<string, unknown>>

/** Declares a table; raise `version` whenever a column changes. */
export const defineTable = <const C extends Columns>(
  name: string,
  version: number,
  columns: C,
  storage: Storage = 'arrow',
): Table<C> => ({ name, version, columns, storage })

const isString = (v: unknown): v is string => typeof v === 'string'
const isNumber = (v: unknown): v is number => typeof v === 'number'

/** Unicode text. */
export const utf8 = (doc: string): Column<string> => ({
  type: 'utf8',
  doc,
  width: 1,
  wanted: 'text',
  accepts: isString,
})

/** Whole number of 32 bits. */
export const int32 = (doc: string): Column<number> => ({
  type: 'int32',
  doc,
  width: 1,
  wanted: 'a whole number of 32 bits',
  accepts: (v): v is number => isNumber(v) && (v | 0) === v,
})

/** Whole number of 64 bits, a JavaScript number up to 2^53 in rows. */
export const int64 = (doc: string): Column<number> => ({
  type: 'int64',
  doc,
  width: 1,
  wanted: 'a whole number within ±2^53',
  accepts: (v): v is number => Number.isSafeInteger(v),
})

/** A finite float32. */
export const float32 = (doc: string): Column<number> => ({
  type: 'float32',
  doc,
  width: 1,
  wanted: 'a finite number',
  accepts: (v): v is number => Number.isFinite(v),
})

/** `width` finite float32 values a row. */
export const float32List = (width: number, doc: string): Column<Float32Array> => ({
  type: 'float32List',
  doc,
  width,
  wanted: `${width} finite float32 values`,
  accepts: (v): v is Float32Array =>
    v instanceof Float32Array && v.length === width && v.every(Number.isFinite),
})

/** A float32 vector whose width is the same in every row of a file, at least 1. */
export const float32Vector = (doc: string): Column<Float32Array> => ({
  type: 'float32List',
  doc,
  width: 0,
  wanted: 'a Float32Array of finite values',
  accepts: (v): v is Float32Array =>
    v instanceof Float32Array && v.length > 0 && v.every(Number.isFinite),
})

/** Raw bytes, for example an encoded picture. */
export const bytes = (doc: string): Column<Uint8Array> => ({
  type: 'bytes',
  doc,
  width: 1,
  wanted: 'bytes',
  accepts: (v): v is Uint8Array => v instanceof Uint8Array,
})

const describeValue = (value: unknown): string =>
  value instanceof Float32Array
    ? `${value.length} values${value.every(Number.isFinite) ? '' : ', some not finite'}`
    : value instanceof Uint8Array
      ? `${value.length} bytes`
      : (JSON.stringify(value) ?? String(value))

/**
 * Checks a row before it is stored.
 *
 * @param place what to name in the error, for example a file
 * @throws FormatError naming table, row's place, column, found and wanted
 */
export function checkRow(table: Table, row: Row, place: string): void {
  for (const [name, column] of Object.entries(table.columns)) {
    const value = row[name]
    if (column.accepts(value)) continue
    throw new FormatError(
      `${place}: column ${name} has ${describeValue(value)}, expected ${column.wanted} ` +
        `(${table.name} v${table.version})`,
      { place, column: name, found: describeValue(value), wanted: column.wanted },
    )
  }
}

/** The table as Markdown: one row a column. */
export function documentTable(table: Table): string {
  const rows = Object.entries(table.columns).map(([name, { type, width, doc }]) => {
    const list = width === 0 ? 'float32[n]' : `float32[${width}]`
    return `| \`${name}\` | ${type === 'float32List' ? list : type} | ${doc} |`
  })
  return [
    `### ${table.name} v${table.version} (${table.storage === 'arrow' ? 'Arrow' : 'Parquet'})`,
    '',
    '| column | type | content |',
    '| --- | --- | --- |',
    ...rows,
    '',
  ].join('\n')
}
