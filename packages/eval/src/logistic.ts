import { ShapeError } from '@deepfever/core'
import { minimize, type Objective } from './lbfgs.ts'
import { BLOCK_ROWS, openProbeKernel } from './probe-kernel.ts'
import { openSoftmaxLoss, type LabelledFeatures } from './softmax-loss.ts'
import { openLossTeam } from './softmax-team.ts'

/** What a logistic regression is fitted to, and how long. */
export interface LogisticOptions extends LabelledFeatures {
  readonly classes: number
  /** inverse strength of the L2 penalty on the weights; the bias is free */
  readonly C: number
  /** weight a class's rows by n / (classes * its rows) */
  readonly balanced?: boolean
  readonly maxIter?: number
  /** max |gradient| relative to its value at the start, 1e-6 by default */
  readonly tolerance?: number
  /** also keep the model as it stood after this many iterations */
  readonly snapshotAt?: number
}

/** A linear softmax classifier. */
export interface LogisticModel {
  readonly width: number
  readonly classes: number
  /** float64 [classes, width] */
  readonly weights: Float64Array
  /** float64 [classes] */
  readonly bias: Float64Array
  /** sum of weighted cross-entropies + |weights|² / (2 C) */
  readonly objective: number
  readonly iterations: number
  /** max |gradient| of objective / sum of row weights */
  readonly gradientMax: number
}

/** The end of a fit. */
export interface LogisticFit extends LogisticModel {
  /** `rounding`: float64 allows no lower value, as good as converged */
  readonly reason: 'gradient' | 'rounding' | 'iterations'
  readonly evaluations: number
  /** float64 [classes] */
  readonly classWeights: Float64Array
  /** the model after `snapshotAt` iterations, or the last one when the fit ended earlier */
  readonly snapshot: LogisticModel
}

/**
 * Multinomial logistic regression, full softmax, L2 on the weights alone: scikit-learn's objective
 * divided by the sum of row weights, L-BFGS from zeros (10 pairs).
 *
 * @throws ShapeError when features, labels and classes do not fit together
 */
export function fitLogistic(options: LogisticOptions): LogisticFit {
  const classWeights = checkedWeights(options)
  const loss = openSoftmaxLoss(options, classWeights)
  const sums = new Float64Array(loss.sumsLength)
  return fitTo(options, classWeights, (parameters, total) => {
    total.fill(0)
    for (let chunk = 0; chunk < loss.chunks; chunk++) {
      loss.chunk(chunk, parameters, sums)
      for (let i = 0; i < total.length; i++) total[i]! += sums[i]!
    }
  })
}

/**
 * The same fit, to the bit, with `threads` threads over features in shared memory.
 *
 * @throws ShapeError as fitLogistic, and when the features' memory is not shared
 */
export async function fitLogisticInThreads(
  options: LogisticOptions,
  threads: number,
): Promise<LogisticFit> {
  const classWeights = checkedWeights(options)
  if (threads <= 1) return fitLogistic(options)
  const team = await openLossTeam(options, classWeights, threads)
  try {
    return fitTo(options, classWeights, team.sum)
  } finally {
    await team.close()
  }
}

/** Class weights of a fit whose shapes were checked. */
function checkedWeights(options: LogisticOptions): Float64Array {
  checkShapes(options)
  const { labels, classes, balanced = false } = options
  return balanced ? balanceClasses(labels, classes) : new Float64Array(classes).fill(1)
}

function fitTo(
  { labels, width, classes, C, ...limits }: LogisticOptions,
  classWeights: Float64Array,
  sumLoss: (parameters: Float64Array, total: Float64Array) => void,
): LogisticFit {
  const { maxIter = 20_000, tolerance = 1e-6, snapshotAt = 100 } = limits
  const total = labels.reduce((sum, label) => sum + classWeights[label]!, 0)
  const matrix = classes * width
  const sums = new Float64Array(matrix + classes + 1)
  const objective: Objective = (at, gradient) => {
    sumLoss(at, sums)
    gradient.set(sums.subarray(0, gradient.length))
    const value = sums[gradient.length]!
    let squares = 0
    for (let i = 0; i < matrix; i++) {
      squares += at[i]! * at[i]!
      gradient[i]! += at[i]! / C
    }
    for (let i = 0; i < gradient.length; i++) gradient[i]! /= total
    return (value + squares / (2 * C)) / total
  }
  const toModel = (iterate: {
    at: Float64Array
    value: number
    iteration: number
    gradientMax: number
  }): LogisticModel => ({
    width,
    classes,
    weights: iterate.at.slice(0, matrix),
    bias: iterate.at.slice(matrix),
    objective: iterate.value * total,
    iterations: iterate.iteration,
    gradientMax: iterate.gradientMax,
  })
  let snapshot: LogisticModel | undefined
  const minimum = minimize(objective, new Float64Array(matrix + classes), {
    tolerance,
    maxIter,
    onIterate: iterate => {
      if (iterate.iteration === snapshotAt) snapshot = toModel(iterate)
    },
  })
  const model = toModel(minimum)
  const { reason, evaluations } = minimum
  return { ...model, reason, evaluations, classWeights, snapshot: snapshot ?? model }
}

/**
 * Log-probabilities of a model.
 *
 * @param features float32 [n, width]
 * @returns float64 [n, classes]
 */
export function logProbabilities(
  { width, classes, weights, bias }: LogisticModel,
  features: Float32Array,
): Float64Array {
  const rows = rowsOf(features, width)
  const kernel = openProbeKernel(width, classes)
  const { widthStride, classStride } = kernel
  for (let k = 0; k < classes; k++) {
    kernel.weights.set(weights.subarray(k * width, (k + 1) * width), k * widthStride)
  }
  const result = new Float64Array(rows * classes)
  for (let first = 0; first < rows; first += BLOCK_ROWS) {
    const count = Math.min(BLOCK_ROWS, rows - first)
    for (let row = 0; row < count; row++) {
      const from = (first + row) * width
      kernel.features.set(features.subarray(from, from + width), row * widthStride)
    }
    kernel.multiply(count + (count & 1))
    for (let row = 0; row < count; row++) {
      const scores = kernel.scores.subarray(row * classStride, row * classStride + classes)
      for (let k = 0; k < classes; k++) scores[k]! += bias[k]!
      const highest = scores.reduce((a, b) => Math.max(a, b))
      const norm = highest + Math.log(scores.reduce((sum, s) => sum + Math.exp(s - highest), 0))
      for (let k = 0; k < classes; k++) result[(first + row) * classes + k] = scores[k]! - norm
    }
  }
  return result
}

/** The likeliest class of each row, the first of equals; int32 [n]. */
export function predictClasses(model: LogisticModel, features: Float32Array): Int32Array {
  const { classes } = model
  const scores = logProbabilities(model, features)
  return Int32Array.from({ length: scores.length / classes }, (_, row) => {
    let best = 0
    for (let k = 1; k < classes; k++) {
      if (scores[row * classes + k]! > scores[row * classes + best]!) best = k
    }
    return best
  })
}

function rowsOf(features: Float32Array, width: number): number {
  const rows = features.length / width
  if (Number.isInteger(rows)) return rows
  throw new ShapeError(
    `features hold ${features.length} numbers, which is no multiple of the width ${width}`,
    { found: features.length, width },
  )
}

function checkShapes({ features, labels, width, classes, C }: LogisticOptions): void {
  const rows = rowsOf(features, width)
  if (rows !== labels.length || rows === 0) {
    throw new ShapeError(
      `${rows} rows of features, ${labels.length} labels; both must be the same and above 0`,
      {
        found: rows,
        wanted: labels.length,
      },
    )
  }
  const stray = labels.findIndex(label => !(label >= 0 && label < classes))
  if (stray >= 0) {
    throw new ShapeError(
      `label ${stray} is ${labels[stray]}, expected 0 to ${classes - 1}; leave unlabelled faces out`,
      { row: stray, found: labels[stray], classes },
    )
  }
  if (!(C > 0)) throw new ShapeError(`C is ${C}, expected a number above 0`, { C })
}

/** scikit-learn's balanced weights: n / (classes * rows of the class), 1 for a class without rows. */
export function balanceClasses(labels: Int32Array, classes: number): Float64Array {
  const counts = new Float64Array(classes)
  for (const label of labels) counts[label]! += 1
  return counts.map(n => (n === 0 ? 1 : labels.length / (classes * n)))
}
