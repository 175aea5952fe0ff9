import { createReadStream } from 'node:fs'
import { parse } from 'csv-parse'
import { FormatError, messageOf } from '@deepfever/core'

/**
 * Rows of a CSV file as text cells, streamed; rows may differ in length.
 *
 * @throws FormatError naming file and line when quoting is broken
 */
export async function* readCsv(path: string): AsyncGenerator<readonly string[]> {
  const rows = parse({ relax_column_count: true, skip_empty_lines: true, bom: true, trim: true })
  // `pipe` passes no errors on: one while reading has to end the rows too.
  const file = createReadStream(path).on('error', thrown => rows.destroy(thrown))
  file.pipe(rows)
  try {
    for await (const row of rows as AsyncIterable<string[]>) yield row
  } catch (thrown) {
    throw new FormatError(`${path}: not readable as CSV: ${messageOf(thrown)}`, { path }, thrown)
  } finally {
    file.destroy()
  }
}
