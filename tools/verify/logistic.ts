import { uniforms } from '@deepfever/core'
import { fitLogistic, logProbabilities, predictClasses, type LogisticFit } from '@deepfever/eval'
import { numberRow } from './row.ts'
import type { VerifyRow } from './row.ts'

/** A reference optimum of `logistic.json`. */
export interface LogisticCase {
  readonly C: number
  readonly class_weight: 'balanced' | null
  readonly objective: number
  readonly train_accuracy: number
  readonly coef_norm: number
  readonly intercept_centred: readonly number[]
  readonly log_proba_row0: readonly number[]
  /** of log-probabilities, biases and norm, relative above 1; 1e-3 unless it says how exact it is */
  readonly tolerance?: number
}

/** `logistic.json`: scikit-learn's optima on data drawn from a formula. */
export interface LogisticReference {
  readonly formula_data: {
    readonly n: number
    readonly d: number
    readonly classes: number
    readonly class_counts: readonly number[]
  }
  readonly [name: string]: unknown
}

/**
 * Fits the formula data and holds objective, log-probabilities, weights and accuracy against the
 * reference. Log-probabilities far below 0 are compared relatively. A reference made by L-BFGS lies
 * up to 1e-8 above the optimum, which moves them by 3e-3; one made by Newton's method agrees to 1e-6
 * and says so in its `tolerance`.
 *
 * @param prefix stands before the stream names, for example 'seed2/'
 */
export function verifyLogistic(
  reference: LogisticReference,
  { prefix = '' }: { prefix?: string } = {},
): VerifyRow[] {
  const { n, d, classes, class_counts } = reference.formula_data
  const { features, labels } = drawFormulaData(n, d, classes, prefix)
  const counts = class_counts.map((wanted, k) =>
    numberRow(`class ${k} rows`, labels.filter(label => label === k).length, wanted, 0),
  )
  const cases = Object.entries(reference).filter(([name]) => /^C[0-9]+_/.test(name))
  return cases.reduce<VerifyRow[]>((rows, [name, value]) => {
    const wanted = value as LogisticCase
    const balanced = wanted.class_weight === 'balanced'
    const fit = fitLogistic({
      features,
      labels,
      width: d,
      classes,
      C: wanted.C,
      balanced,
      tolerance: 1e-10,
    })
    return [...rows, ...compareFit(name, fit, features, labels, wanted)]
  }, counts)
}

function compareFit(
  name: string,
  fit: LogisticFit,
  features: Float32Array,
  labels: Int32Array,
  wanted: LogisticCase,
): VerifyRow[] {
  const logs = logProbabilities(fit, features.subarray(0, fit.width))
  const predicted = predictClasses(fit, features)
  const hits = labels.filter((label, row) => predicted[row] === label).length
  const mean = fit.bias.reduce((a, b) => a + b) / fit.classes
  const norm = Math.sqrt(fit.weights.reduce((sum, w) => sum + w * w, 0))
  const { tolerance = 1e-3 } = wanted
  return [
    numberRow(
      `${name} objective`,
      fit.objective,
      wanted.objective,
      Math.min(1e-6, tolerance / 100) * wanted.objective,
    ),
    ...wanted.log_proba_row0.map((log, k) =>
      numberRow(`${name} log-probability ${k}`, logs[k]!, log, tolerance * Math.max(1, -log)),
    ),
    ...wanted.intercept_centred.map((bias, k) =>
      numberRow(
        `${name} centred bias ${k}`,
        fit.bias[k]! - mean,
        bias,
        tolerance * Math.max(1, Math.abs(bias)),
      ),
    ),
    numberRow(`${name} norm of weights`, norm, wanted.coef_norm, tolerance * wanted.coef_norm),
    numberRow(`${name} accuracy`, hits / labels.length, wanted.train_accuracy, 1e-9),
  ]
}

function drawFormulaData(n: number, d: number, classes: number, prefix: string) {
  const drawn = uniforms(`${prefix}lr_features`, n * d)
  const truth = uniforms(`${prefix}lr_truth`, d * classes)
  const noise = uniforms(`${prefix}lr_noise`, n * classes)
  const labels = Int32Array.from({ length: n }, (_, row) => {
    const scores = Array.from({ length: classes }, (_, k) => {
      let score = 1.2 * noise[row * classes + k]!
      for (let j = 0; j < d; j++) score += drawn[row * d + j]! * truth[j * classes + k]!
      return score + (k === 0 ? 0.8 : k === 6 ? -0.5 : 0)
    })
    return scores.indexOf(Math.max(...scores))
  })
  return { features: Float32Array.from(drawn), labels }
}
