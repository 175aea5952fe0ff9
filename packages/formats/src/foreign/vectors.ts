import { extname } from 'node:path'
import { readArrowVectors } from './arrow-vectors.ts'
import { readParquetVectors } from './parquet-vectors.ts'
import type { VectorFile } from './vector-file.ts'

/**
 * Opens a file with a text column and a column of lists of numbers: Arrow where the name ends in
 * `.arrow`, Parquet otherwise. An Arrow file is read an order faster.
 *
 * @throws FormatError as the reader of either form does
 */
export const readVectors = (
  path: string,
  idColumn: string,
  vectorColumn: string,
): Promise<VectorFile> =>
  (extname(path).toLowerCase() === '.arrow' ? readArrowVectors : readParquetVectors)(
    path,
    idColumn,
    vectorColumn,
  )
