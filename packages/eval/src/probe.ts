import { openRandom } from '@deepfever/core'
import { estimatePairs, type Pair, type Rate } from './estimate.ts'
import {
  fitLogisticInThreads,
  logProbabilities,
  type LogisticFit,
  type LogisticModel,
} from './logistic.ts'
import { scoreClasses, type ClassificationScore } from './metrics.ts'
import { nearestRows, voteOf, type Neighbours } from './neighbours.ts'
import { WITH_LEAKED, type FitRecord, type Measure, type ProbeDetails } from './report.ts'
import type { LabelledFeatures } from './softmax-loss.ts'

/** Iterations after which scikit-learn stops by default, and so did the published probes. */
export const PUBLISHED_ITERATIONS = 100
/** Neighbours that vote in the kNN probe. */
export const VOTERS = 20
/** Penalties that are tried with `sweep`, and the share of training rows that chooses. */
const SWEEP = [1e-4, 1e-2, 1, 1e2, 1e4, 1e6]
const HELD_OUT = 0.1

/** What a linear probe is fitted to and judged on. */
export interface ProbeInput {
  readonly train: LabelledFeatures
  readonly test: LabelledFeatures
  /** names in label order */
  readonly classes: readonly string[]
  readonly C: number
  /** weight rows by class, as for AffectNet; plain for RAF */
  readonly balanced: boolean
  /** names the stream of the bootstrap */
  readonly seed: string
  /** 1 by default; more need features in shared memory, and give the same bits */
  readonly threads?: number
  /** class of each test entry that gave no vector: wrong in the whole split */
  readonly lost?: Int32Array
  /** test rows that training has a near-duplicate of: left out of the headline */
  readonly leaked?: Uint8Array
  /** the nearest training rows of each test row, where they are known already */
  readonly neighbours?: Neighbours
  /** also choose C on a held-out part of the training rows */
  readonly sweep?: boolean
}

/** What became of each test row. */
export interface RowResults {
  readonly predicted: Int32Array
  /** probability of the predicted class */
  readonly confidence: Float64Array
  readonly neighbours: Neighbours
}

/** A probe's part of a report. */
export interface ProbeResult {
  readonly headline: Measure
  readonly beside: readonly Measure[]
  readonly probe: ProbeDetails
  readonly results: RowResults
}

/**
 * Fits a logistic regression on frozen features and scores it on the test rows, at the optimum and
 * as it stood after 100 iterations, with a kNN probe beside it. The headline is the 100-iteration
 * model without leaked rows: published numbers were made so.
 */
export async function evaluateProbe(input: ProbeInput): Promise<ProbeResult> {
  const { train, test, classes, seed, lost = new Int32Array(0), sweep = false } = input
  const { leaked = new Uint8Array(test.labels.length) } = input
  const judge = judgeOf(test, lost, classes.length, seed)
  const fit = await fitProbe(input, train)
  const stopped = predict(fit.snapshot, test.features)
  const converged = predict(fit, test.features)
  const { neighbours = await nearestRows(train.features, test.features, train.width, VOTERS) } =
    input
  const isClean = (row: number) => leaked[row] === 0
  const all = () => true
  const own = judge(stopped.predicted, isClean)
  const leaks = leaked.reduce((a, b) => a + b, 0)
  const leaky = leaks === 0 ? [] : [judge(stopped.predicted, all).accuracy]
  const chosen = sweep ? [await sweepC(input)] : []
  const one = (label: string, pair: Pair, note: string): Measure => ({ label, ...pair, note })
  return {
    headline: one(
      'Accuracy',
      own.accuracy,
      `logistic regression, at most ${PUBLISHED_ITERATIONS} iterations as in published probes`,
    ),
    beside: [
      ...leaky.map(pair => one(`Accuracy${WITH_LEAKED}`, pair, `${leaks} leaked rows`)),
      one(
        'Accuracy, converged',
        judge(converged.predicted, isClean).accuracy,
        `at the optimum, ${fit.iterations} iterations`,
      ),
      one('Balanced accuracy', own.balancedAccuracy, 'mean recall over classes'),
      one('Mean F1', own.f1, 'over classes'),
      one(
        'Accuracy, nearest neighbours',
        judge(voteOf(neighbours, train), isClean).accuracy,
        `vote of the ${neighbours.k} training faces of largest cosine`,
      ),
      ...chosen.map(({ C, predicted }) =>
        one(
          'Accuracy, C chosen',
          judge(predicted, isClean).accuracy,
          `C = ${C}, best of ${SWEEP.join(', ')} on a tenth of training held out`,
        ),
      ),
    ],
    probe: {
      converged: scoreOf(test, converged.predicted, classes, isClean),
      stopped: scoreOf(test, stopped.predicted, classes, isClean),
      fits: {
        converged: toRecord(fit, fit, judge(converged.predicted, isClean)),
        stopped: toRecord(fit.snapshot, fit, own),
      },
      trainRows: train.labels.length,
    },
    results: { ...stopped, neighbours },
  }
}

const fitProbe = (
  { classes, C, balanced, threads = 1 }: ProbeInput,
  rows: LabelledFeatures,
  limits: { readonly maxIter?: number } = {},
): Promise<LogisticFit> =>
  fitLogisticInThreads(
    { ...rows, classes: classes.length, C, balanced, snapshotAt: PUBLISHED_ITERATIONS, ...limits },
    threads,
  )

/** Estimates over the test rows that pass, paired with the whole split. */
const judgeOf =
  ({ labels }: LabelledFeatures, lost: Int32Array, classes: number, seed: string) =>
  (predicted: Int32Array, passes: (row: number) => boolean): Record<Rate, Pair> => {
    const kept = (_: number, row: number) => passes(row)
    return estimatePairs(
      { labels: labels.filter(kept), predicted: predicted.filter(kept) },
      lost,
      classes,
      seed,
    )
  }

function scoreOf(
  { labels }: LabelledFeatures,
  predicted: Int32Array,
  classes: readonly string[],
  passes: (row: number) => boolean,
): ClassificationScore {
  const kept = (_: number, row: number) => passes(row)
  return scoreClasses(labels.filter(kept), predicted.filter(kept), classes)
}

/** The likeliest class of each row, the first of equals, and its probability. */
function predict(model: LogisticModel, features: Float32Array) {
  const { classes } = model
  const logs = logProbabilities(model, features)
  const predicted = new Int32Array(logs.length / classes)
  const confidence = predicted.reduce((values, _, row) => {
    for (let k = 1; k < classes; k++)
      if (logs[row * classes + k]! > logs[row * classes + predicted[row]!]!) predicted[row] = k
    values[row] = Math.exp(logs[row * classes + predicted[row]!]!)
    return values
  }, new Float64Array(predicted.length))
  return { predicted, confidence }
}

/** The C of best accuracy on held-out training rows, the first of equals, fitted to all rows. */
async function sweepC(input: ProbeInput): Promise<{ C: number; predicted: Int32Array }> {
  const { train, seed } = input
  const random = openRandom(`${seed}/held-out`)
  const order = random.shuffle(Array.from(train.labels.keys()))
  const cut = Math.max(1, Math.round(HELD_OUT * order.length))
  const held = takeRows(train, order.slice(0, cut))
  const rest = takeRows(train, order.slice(cut))
  let best = { C: input.C, right: -1 }
  for (const C of SWEEP) {
    const fit = await fitProbe({ ...input, C }, rest, { maxIter: PUBLISHED_ITERATIONS })
    const { predicted } = predict(fit, held.features)
    const right = predicted.filter((label, row) => label === held.labels[row]).length
    if (right > best.right) best = { C, right }
  }
  const fit = await fitProbe({ ...input, C: best.C }, train, { maxIter: PUBLISHED_ITERATIONS })
  return { C: best.C, predicted: predict(fit, input.test.features).predicted }
}

function takeRows({ features, labels, width }: LabelledFeatures, rows: readonly number[]) {
  const taken = new Float32Array(new SharedArrayBuffer(rows.length * width * 4))
  rows.forEach((row, i) => taken.set(features.subarray(row * width, (row + 1) * width), i * width))
  return { features: taken, labels: Int32Array.from(rows, row => labels[row]!), width }
}

const toRecord = (
  model: LogisticModel,
  fit: LogisticFit,
  { accuracy }: Record<Rate, Pair>,
): FitRecord => ({
  iterations: model.iterations,
  reason: model.iterations === fit.iterations ? fit.reason : 'iterations',
  objective: model.objective,
  gradientMax: model.gradientMax,
  accuracy: accuracy.value,
})
