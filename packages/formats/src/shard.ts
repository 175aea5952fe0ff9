import { decodeArrow, encodeArrow } from './arrow.ts'
import { decodeParquet, encodeParquet } from './parquet.ts'
import type { Columns, RowOf, Table } from './table.ts'

/** Rows as the bytes of one shard, in the table's storage. */
export const encodeShard = async <C extends Columns>(
  table: Table<C>,
  rows: readonly RowOf<Table<C>>[],
  place?: string,
): Promise<Uint8Array> =>
  table.storage === 'arrow' ? encodeArrow(table, rows, place) : encodeParquet(table, rows, place)

/** The rows of one shard. */
export async function* decodeShard<C extends Columns>(
  table: Table<C>,
  file: Uint8Array,
  place: string,
): AsyncGenerator<RowOf<Table<C>>> {
  yield* table.storage === 'arrow'
    ? decodeArrow(table, file, place)
    : decodeParquet(table, file, place)
}
