import { bootstrapAccuracy } from './bootstrap.ts'
import type { Measure } from './report.ts'
import { scoreTriplets, type TripletRows, type TripletScore } from './triplet-accuracy.ts'

/** A triplet evaluation's part of a report. */
export interface TripletsResult {
  readonly headline: Measure
  readonly triplets: readonly TripletScore[]
  /** of every triplet: the face taken for the odd one, -1 where a face is missing */
  readonly answers: Int32Array
}

/**
 * Triplet accuracy with its interval, over all and by kind.
 *
 * @param vectors raw head outputs, float32 [n, width]; normalised here
 * @param seed names the stream of the bootstrap
 * @param lost triplets by kind that lost a face before there were vectors: wrong on the whole split
 */
export function evaluateTriplets(
  triplets: readonly TripletRows[],
  vectors: Float32Array,
  width: number,
  seed: string,
  lost: Readonly<Record<string, number>> = {},
): TripletsResult {
  const { overall, kinds, outcomes, answers } = scoreTriplets(triplets, vectors, width, lost)
  const { n, missing, correct } = overall
  const whole = new Uint8Array(n + missing)
  whole.set(outcomes)
  return {
    headline: {
      label: 'Triplet accuracy',
      value: overall.accuracy,
      n,
      interval: bootstrapAccuracy(outcomes, seed),
      whole: {
        value: whole.length === 0 ? null : correct / whole.length,
        n: whole.length,
        interval: bootstrapAccuracy(whole, seed),
      },
      note: `chance is 33.3 %; triplets left out for a missing face: ${missing}`,
    },
    triplets: [overall, ...kinds],
    answers,
  }
}
