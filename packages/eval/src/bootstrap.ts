import { openRandom } from '@deepfever/core'

/** A percentile interval of a mean. */
export interface Interval {
  readonly low: number
  readonly high: number
  /** 0.95: the interval of 95 in 100 resamples */
  readonly level: number
  readonly resamples: number
}

/**
 * Percentile bootstrap interval (Efron 1979) of the mean of 0/1 outcomes, rows drawn independently.
 *
 * @param outcomes 1 where right, 0 where wrong; null is returned when there are none
 * @param seed names the stream of draws
 */
export function bootstrapAccuracy(
  outcomes: Uint8Array,
  seed: string,
  { level = 0.95, resamples = 1000 }: { level?: number; resamples?: number } = {},
): Interval | null {
  const n = outcomes.length
  if (n === 0) return null
  const { below } = openRandom(`${seed}/bootstrap`)
  const means = new Float64Array(resamples)
  for (let resample = 0; resample < resamples; resample++) {
    let right = 0
    for (let i = 0; i < n; i++) right += outcomes[below(n)]!
    means[resample] = right / n
  }
  means.sort()
  const tail = (1 - level) / 2
  return { low: quantile(means, tail), high: quantile(means, 1 - tail), level, resamples }
}

/** Linear interpolation between order statistics. */
function quantile(sorted: Float64Array, share: number): number {
  const place = share * (sorted.length - 1)
  const low = sorted[Math.floor(place)]!
  return low + (place - Math.floor(place)) * (sorted[Math.ceil(place)]! - low)
}
