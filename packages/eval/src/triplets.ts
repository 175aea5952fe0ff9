import { bootstrapAccuracy } from './bootstrap.ts'
import type { Measure } from './report.ts'
import { scoreTriplets, type TripletRows, type TripletScore } from './triplet-accuracy.ts'

/** A triplet evaluation's part of a report. */
export interface TripletsResult {
  readonly headline: Measure
  readonly triplets: readonly TripletScore[]
}

/**
 * Triplet accuracy with its interval, over all and by kind.
 *
 * @param vectors raw head outputs, float32 [n, width]; normalised here
 * @param seed names the stream of the bootstrap
 */
export function evaluateTriplets(
  triplets: readonly TripletRows[],
  vectors: Float32Array,
  width: number,
  seed: string,
): TripletsResult {
  const { overall, kinds, outcomes } = scoreTriplets(triplets, vectors, width)
  return {
    headline: {
      label: 'Triplet accuracy',
      value: overall.accuracy,
      n: overall.n,
      interval: bootstrapAccuracy(outcomes, seed),
      note: `chance is 33.3 %; triplets left out for a missing face: ${overall.missing}`,
    },
    triplets: [overall, ...kinds],
  }
}
