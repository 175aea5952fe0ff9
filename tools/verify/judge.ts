import type { VerifyRow, VerifyRows } from './row.ts'

const show = (value: number | string): string =>
  typeof value === 'string' || Number.isInteger(value) ? String(value) : value.toPrecision(8)

// Does not rely on `ok` alone: a row of NaN must not pass.
const isWithin = ({ ok, deviation, tolerance }: VerifyRow): boolean => ok && deviation <= tolerance

const lineOf = (row: VerifyRow): string =>
  [
    `${isWithin(row) ? '  ' : '! '}${row.name}`,
    `found ${show(row.found)}`,
    `wanted ${show(row.wanted)}`,
    `deviation ${row.deviation.toPrecision(3)}`,
    `tolerance ${row.tolerance.toPrecision(3)}`,
  ].join('  ')

/** How much of its tolerance a row used up. */
function strain(row: VerifyRow): number {
  if (Number.isNaN(row.deviation)) return Infinity
  if (row.tolerance > 0) return row.deviation / row.tolerance
  return isWithin(row) ? 0 : Infinity
}

/**
 * Says every row as it comes, then the five that used most of their tolerance.
 *
 * @returns how many rows are beyond their tolerance
 * @throws Error when there is no row: nothing was verified
 */
export async function judgeRows(rows: VerifyRows, say: (line: string) => void): Promise<number> {
  const all: VerifyRow[] = []
  for await (const row of rows) {
    say(lineOf(row))
    all.push(row)
  }
  if (all.length === 0) throw new Error('found no quantity in the reference, wanted at least one')
  const beyond = all.filter(row => !isWithin(row)).length
  say(`worst of ${all.length}:`)
  const worst = [...all].sort((a, b) => (strain(a) === strain(b) ? 0 : strain(b) - strain(a)))
  for (const row of worst.slice(0, 5)) say(lineOf(row))
  say(`${all.length - beyond} within tolerance, ${beyond} beyond`)
  return beyond
}
