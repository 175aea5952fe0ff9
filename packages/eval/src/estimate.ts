import { bootstrap, type Interval } from './bootstrap.ts'

/** A share with its interval over `n` rows. */
export interface Estimate {
  /** 0 to 1; null where nothing could be judged */
  readonly value: number | null
  readonly n: number
  readonly interval: Interval | null
}

/** The same share where the detector or decoder gave a face, and on the whole split. */
export interface Pair extends Estimate {
  /** entries without a face count as wrong */
  readonly whole: Estimate
}

/** Predictions for rows of known class. */
export interface Judged {
  readonly labels: Int32Array
  /** -1 where nothing was predicted, which is wrong */
  readonly predicted: Int32Array
}

/** What is estimated of a classifier. */
export const rates = ['accuracy', 'balancedAccuracy', 'f1'] as const
/** One of {@link rates}: overall, mean recall over classes that occur, and mean F1 over them. */
export type Rate = (typeof rates)[number]

const NOTHING: Estimate = { value: null, n: 0, interval: null }

/** Every rate with its seeded bootstrap interval. */
function estimate({ labels, predicted }: Judged, classes: number, seed: string) {
  const n = labels.length
  if (n === 0) return rates.map(() => NOTHING)
  const hits = new Float64Array(classes)
  const support = new Float64Array(classes)
  const guesses = new Float64Array(classes)
  const ratesOf = (rowOf: (i: number) => number): number[] => {
    for (const counts of [hits, support, guesses]) counts.fill(0)
    for (let i = 0; i < n; i++) {
      const row = rowOf(i)
      const [label, guess] = [labels[row]!, predicted[row]!]
      support[label]!++
      if (guess >= 0) guesses[guess]!++
      if (guess === label) hits[label]!++
    }
    let [right, recalls, f1s, occurring] = [0, 0, 0, 0]
    for (let k = 0; k < classes; k++) {
      if (support[k] === 0) continue
      occurring++
      right += hits[k]!
      recalls += hits[k]! / support[k]!
      f1s += (2 * hits[k]!) / (support[k]! + guesses[k]!)
    }
    return [right / n, recalls / occurring, f1s / occurring]
  }
  const values = ratesOf(i => i)
  const intervals = bootstrap(n, seed, drawn => ratesOf(i => drawn[i]!))
  return values.map((value, i): Estimate => ({ value, n, interval: intervals[i]! }))
}

/**
 * Every rate as a pair: on the rows that were judged, and with the entries that gave no face.
 *
 * @param lost class of each entry of the split without a prediction
 * @param seed names the stream of the bootstrap
 */
export function estimatePairs(
  judged: Judged,
  lost: Int32Array,
  classes: number,
  seed: string,
): Record<Rate, Pair> {
  const own = estimate(judged, classes, seed)
  const whole =
    lost.length === 0
      ? own
      : estimate(
          {
            labels: concat(judged.labels, lost),
            predicted: concat(judged.predicted, new Int32Array(lost.length).fill(-1)),
          },
          classes,
          seed,
        )
  const pairs = rates.map((rate, i) => [rate, { ...own[i]!, whole: whole[i]! }])
  return Object.fromEntries(pairs) as Record<Rate, Pair>
}

function concat(a: Int32Array, b: Int32Array): Int32Array {
  const both = new Int32Array(a.length + b.length)
  both.set(a)
  both.set(b, a.length)
  return both
}
