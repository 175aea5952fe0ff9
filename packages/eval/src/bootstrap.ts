import { openRandom } from '@deepfever/core'

/** A percentile interval of a statistic of drawn rows. */
export interface Interval {
  readonly low: number
  readonly high: number
  /** 0.95: the interval of 95 in 100 resamples */
  readonly level: number
  readonly resamples: number
}

/** How many resamples, and which share of them the interval spans. */
export interface BootstrapOptions {
  readonly level?: number
  readonly resamples?: number
}

/**
 * Percentile bootstrap intervals (Efron 1979), rows drawn independently.
 *
 * @param n rows; above 0
 * @param seed names the stream of draws: equal seeds draw equal rows, whatever is computed of them
 * @param statistics values of one resample, from the rows drawn; all of one length
 */
export function bootstrap(
  n: number,
  seed: string,
  statistics: (drawn: Int32Array) => readonly number[],
  { level = 0.95, resamples = 1000 }: BootstrapOptions = {},
): Interval[] {
  const { below } = openRandom(`${seed}/bootstrap`)
  const drawn = new Int32Array(n)
  const found = Array.from({ length: resamples }, () => {
    for (let i = 0; i < n; i++) drawn[i] = below(n)
    return statistics(drawn)
  })
  const tail = (1 - level) / 2
  return found[0]!.map((_, which) => {
    const sorted = Float64Array.from(found, values => values[which]!).sort()
    return { low: quantile(sorted, tail), high: quantile(sorted, 1 - tail), level, resamples }
  })
}

/**
 * The interval of the mean of 0/1 outcomes.
 *
 * @param outcomes 1 where right, 0 where wrong; null is returned when there are none
 */
export function bootstrapAccuracy(
  outcomes: Uint8Array,
  seed: string,
  options?: BootstrapOptions,
): Interval | null {
  const n = outcomes.length
  if (n === 0) return null
  const meanOf = (drawn: Int32Array) => {
    let right = 0
    for (let i = 0; i < n; i++) right += outcomes[drawn[i]!]!
    return [right / n]
  }
  return bootstrap(n, seed, meanOf, options)[0]!
}

/** Linear interpolation between order statistics. */
function quantile(sorted: Float64Array, share: number): number {
  const place = share * (sorted.length - 1)
  const low = sorted[Math.floor(place)]!
  return low + (place - Math.floor(place)) * (sorted[Math.ceil(place)]! - low)
}
