import { bootstrapAccuracy } from './bootstrap.ts'
import {
  fitLogisticInThreads,
  predictClasses,
  type LogisticFit,
  type LogisticModel,
} from './logistic.ts'
import { scoreClasses, type ClassificationScore } from './metrics.ts'
import type { FitRecord, Measure, ProbeDetails } from './report.ts'
import type { LabelledFeatures } from './softmax-loss.ts'

/** Iterations after which scikit-learn stops by default, and so did the published probes. */
export const PUBLISHED_ITERATIONS = 100

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
}

/** A probe's part of a report. */
export interface ProbeResult {
  readonly headline: Measure
  readonly beside: readonly Measure[]
  readonly probe: ProbeDetails
}

/**
 * Fits a logistic regression on frozen features and scores it on the test rows, at the optimum and
 * as it stood after 100 iterations. The headline is the latter: published numbers were made so.
 */
export async function evaluateProbe({
  train,
  test,
  classes,
  C,
  balanced,
  seed,
  threads = 1,
}: ProbeInput): Promise<ProbeResult> {
  const options = {
    ...train,
    classes: classes.length,
    C,
    balanced,
    snapshotAt: PUBLISHED_ITERATIONS,
  }
  const fit = await fitLogisticInThreads(options, threads)
  const judge = (model: LogisticModel) => {
    const predicted = predictClasses(model, test.features)
    const outcomes = Uint8Array.from(test.labels, (label, i) => (predicted[i] === label ? 1 : 0))
    return {
      score: scoreClasses(test.labels, predicted, classes),
      interval: bootstrapAccuracy(outcomes, seed),
    }
  }
  const converged = judge(fit)
  const stopped = judge(fit.snapshot)
  const toMeasure = (
    label: string,
    { score, interval }: ReturnType<typeof judge>,
    note: string,
  ): Measure => ({ label, value: score.accuracy, n: score.n, interval, note })
  return {
    headline: toMeasure(
      'Accuracy',
      stopped,
      `logistic regression, at most ${PUBLISHED_ITERATIONS} iterations as in published probes`,
    ),
    beside: [
      toMeasure('Accuracy, converged', converged, `at the optimum, ${fit.iterations} iterations`),
      {
        label: 'Balanced accuracy',
        value: stopped.score.balancedAccuracy,
        n: stopped.score.n,
        interval: null,
        note: 'mean recall over classes',
      },
    ],
    probe: {
      converged: converged.score,
      stopped: stopped.score,
      fits: {
        converged: toRecord(fit, fit, converged.score),
        stopped: toRecord(fit.snapshot, fit, stopped.score),
      },
      trainRows: train.labels.length,
    },
  }
}

const toRecord = (
  model: LogisticModel,
  fit: LogisticFit,
  score: ClassificationScore,
): FitRecord => ({
  iterations: model.iterations,
  reason: model.iterations === fit.iterations ? fit.reason : 'iterations',
  objective: model.objective,
  gradientMax: model.gradientMax,
  accuracy: score.accuracy,
})
