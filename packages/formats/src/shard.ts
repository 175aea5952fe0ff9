import type { Columns, RowOf, Table } from './table.ts'

// Both libraries are loaded when first needed: most commands find their result up to date and read
// no table.
const openStorage = {
  arrow: async () => {
    const { encodeArrow: encode, decodeArrow: decode } = await import('./arrow.ts')
    return { encode, decode }
  },
  parquet: async () => {
    const { encodeParquet: encode, decodeParquet: decode } = await import('./parquet.ts')
    return { encode, decode }
  },
} as const

/**
 * Rows as the bytes of one shard, in the table's storage.
 *
 * @throws FormatError naming place, row, column, found and wanted when a row does not fit
 */
export async function encodeShard<C extends Columns>(
  table: Table<C>,
  rows: readonly RowOf<Table<C>>[],
  place?: string,
): Promise<Uint8Array> {
  const pieces: Uint8Array[] = []
  for await (const piece of encodeRows(table, rows, place)) pieces.push(piece)
  return Buffer.concat(pieces)
}

/** The same piece by piece: neither rows nor bytes need to stand in memory. @throws FormatError likewise */
export async function* encodeRows<C extends Columns>(
  table: Table<C>,
  rows: Iterable<RowOf<Table<C>>> | AsyncIterable<RowOf<Table<C>>>,
  place?: string,
): AsyncGenerator<Uint8Array> {
  const { encode } = await openStorage[table.storage]()
  yield* encode(table, rows, place)
}

/**
 * The rows of one shard.
 *
 * @throws FormatError when the bytes are not a shard of this table and version
 */
export async function* decodeShard<C extends Columns>(
  table: Table<C>,
  file: Uint8Array,
  place: string,
): AsyncGenerator<RowOf<Table<C>>> {
  const { decode } = await openStorage[table.storage]()
  yield* decode(table, file, place)
}
