import { bootstrapAccuracy } from './bootstrap.ts'
import { WITH_LEAKED, type Measure } from './report.ts'
import {
  scoreTriplets,
  type TripletRows,
  type TripletScore,
  type TripletScores,
} from './triplet-accuracy.ts'

/** A triplet evaluation's part of a report. */
export interface TripletsResult {
  /** without leaked triplets */
  readonly headline: Measure
  /** with them, where there are some */
  readonly beside: readonly Measure[]
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
  const scores = scoreTriplets(triplets, vectors, width, lost)
  const { overall, kinds, answers } = scores
  const { missing, leaked } = overall
  const chance = `chance is 33.3 %; triplets left out for a missing face: ${missing}`
  const headline = {
    ...{ label: 'Triplet accuracy', ...toEstimates(scores, seed) },
    note: leaked === 0 ? chance : `${chance}, for a face that training shows: ${leaked}`,
  }
  const rest = { headline, triplets: [overall, ...kinds], answers }
  if (leaked === 0) return { ...rest, beside: [] }
  const all = triplets.map(triplet => ({ ...triplet, leaked: false }))
  const label = `${headline.label}${WITH_LEAKED}`
  const note = `${leaked} leaked triplets`
  const leaky = toEstimates(scoreTriplets(all, vectors, width, lost), seed)
  return { ...rest, beside: [{ label, ...leaky, note }] }
}

/** Over the triplets judged, and with those that lack a face as wrong ones. */
function toEstimates({ overall, outcomes }: TripletScores, seed: string) {
  const { n, missing, correct, accuracy } = overall
  const whole = new Uint8Array(n + missing)
  whole.set(outcomes)
  return {
    ...{ value: accuracy, n, interval: bootstrapAccuracy(outcomes, seed) },
    whole: {
      value: whole.length === 0 ? null : correct / whole.length,
      n: whole.length,
      interval: bootstrapAccuracy(whole, seed),
    },
  }
}
