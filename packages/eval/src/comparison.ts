import { StageError } from '@deepfever/core'
import type { Judgement } from '@deepfever/formats'
import { bootstrap, type Interval } from './bootstrap.ts'

/** Two evaluations on the faces or triplets that both judged. */
export interface Comparison {
  /** judged by both, and not leaked in either */
  readonly n: number
  /** left out: judged by one alone, or leaked */
  readonly onlyA: number
  readonly onlyB: number
  readonly leaked: number
  readonly a: number
  readonly b: number
  /** accuracy of b less that of a */
  readonly difference: number
  /** of the difference: paired percentile bootstrap */
  readonly interval: Interval
  /** right in one and wrong in the other */
  readonly onlyARight: number
  readonly onlyBRight: number
  /** McNemar's test, exact and two-sided: how often chance alone parts them so far */
  readonly p: number
}

const isJudged = ({ predicted }: Judgement) => predicted >= 0

/**
 * Compares two evaluations on the same ids.
 *
 * @param seed names the stream of the bootstrap
 * @throws StageError when nothing was judged by both, or an id has two labels
 */
export function compareJudgements(
  a: readonly Judgement[],
  b: readonly Judgement[],
  seed: string,
): Comparison {
  const others = new Map(b.filter(isJudged).map(row => [row.id, row]))
  const own = a.filter(isJudged)
  const both = own.flatMap(row => {
    const other = others.get(row.id)
    if (other === undefined) return []
    if (other.label !== row.label)
      throw new StageError(
        `${row.id}: label ${row.label} in one and ${other.label} in the other; wanted the same data`,
        { id: row.id, found: other.label, wanted: row.label },
      )
    return [[row, other] as const]
  })
  const clean = both.filter(([one, two]) => one.leaked === 0 && two.leaked === 0)
  const n = clean.length
  if (n === 0)
    throw new StageError(
      `nothing was judged by both: ${a.length} and ${b.length} rows, ${both.length} ids in common, ` +
        `${both.length - n} of them leaked; wanted reports on the same faces`,
      { found: both.length },
    )
  const gains = Int8Array.from(clean, ([one, two]) => two.right - one.right)
  const mean = (values: Iterable<number>) => [...values].reduce((sum, v) => sum + v, 0) / n
  const [interval] = bootstrap(n, seed, drawn => {
    let sum = 0
    for (let i = 0; i < n; i++) sum += gains[drawn[i]!]!
    return [sum / n]
  })
  const onlyARight = gains.filter(gain => gain < 0).length
  const onlyBRight = gains.filter(gain => gain > 0).length
  return {
    ...{ n, onlyA: own.length - both.length, onlyB: others.size - both.length },
    leaked: both.length - n,
    a: mean(clean.map(([one]) => one.right)),
    b: mean(clean.map(([, two]) => two.right)),
    ...{ difference: mean(gains), interval: interval!, onlyARight, onlyBRight },
    p: mcnemar(onlyARight, onlyBRight),
  }
}

/** Exact two-sided binomial test of equal discordant counts (McNemar 1947); 1 where there are none. */
export function mcnemar(one: number, other: number): number {
  const n = one + other
  let log = -n * Math.LN2
  let tail = 0
  for (let k = 0; k <= Math.min(one, other); k++) {
    tail += Math.exp(log)
    log += Math.log(n - k) - Math.log(k + 1)
  }
  return Math.min(1, 2 * tail)
}
