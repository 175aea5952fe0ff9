import { BLOCK_ROWS, openProbeKernel } from './probe-kernel.ts'

/** Rows whose sums are formed together; part of the result's bits, so fixed. */
export const CHUNK_ROWS = 64 * BLOCK_ROWS

/** Labelled features as the probe reads them. */
export interface LabelledFeatures {
  /** float32 [n, width], row-major; read in blocks, never copied whole */
  readonly features: Float32Array
  /** class of each row, 0 .. classes - 1; [n] */
  readonly labels: Int32Array
  readonly width: number
}

/** Loss and gradient sums of fixed runs of rows. */
export interface SoftmaxLoss {
  readonly chunks: number
  /** numbers in a chunk's sums: weights [classes, width], bias [classes], loss */
  readonly sumsLength: number
  /** Writes the sums of one chunk at `parameters` (weights, then bias) into `sums`. */
  chunk(index: number, parameters: Float64Array, sums: Float64Array): void
}

/**
 * Weighted cross-entropy of a linear softmax classifier over fixed chunks of 4,096 rows. Adding the
 * chunks in order gives the same bits whoever computes them.
 *
 * @param classWeights factor of each class's rows, float64 [classes]
 */
export function openSoftmaxLoss(
  { features, labels, width }: LabelledFeatures,
  classWeights: Float64Array,
): SoftmaxLoss {
  const classes = classWeights.length
  const kernel = openProbeKernel(width, classes)
  const { classStride, widthStride, scores } = kernel
  const matrix = classes * width

  const load = (first: number, rows: number) => {
    if (width === widthStride) {
      kernel.features.set(features.subarray(first * width, (first + rows) * width))
    } else {
      for (let row = 0; row < rows; row++) {
        const from = (first + row) * width
        kernel.features.set(features.subarray(from, from + width), row * widthStride)
      }
    }
  }

  const residuals = (first: number, rows: number, parameters: Float64Array, sums: Float64Array) => {
    let loss = 0
    for (let row = 0; row < rows; row++) {
      const at = row * classStride
      const label = labels[first + row]!
      let highest = -Infinity
      for (let k = 0; k < classes; k++) {
        const score = scores[at + k]! + parameters[matrix + k]!
        scores[at + k] = score
        if (score > highest) highest = score
      }
      const own = scores[at + label]!
      let total = 0
      for (let k = 0; k < classes; k++) {
        const share = Math.exp(scores[at + k]! - highest)
        scores[at + k] = share
        total += share
      }
      const weight = classWeights[label]!
      loss += weight * (Math.log(total) + highest - own)
      for (let k = 0; k < classes; k++) {
        const residual = weight * (scores[at + k]! / total - (k === label ? 1 : 0))
        scores[at + k] = residual
        sums[matrix + k]! += residual
      }
    }
    sums[matrix + classes]! += loss
  }

  return {
    chunks: Math.ceil(labels.length / CHUNK_ROWS),
    sumsLength: matrix + classes + 1,
    chunk(index, parameters, sums) {
      for (let k = 0; k < classes; k++) {
        kernel.weights.set(parameters.subarray(k * width, (k + 1) * width), k * widthStride)
      }
      kernel.gradient.fill(0)
      sums.fill(0)
      const end = Math.min((index + 1) * CHUNK_ROWS, labels.length)
      for (let first = index * CHUNK_ROWS; first < end; first += BLOCK_ROWS) {
        const rows = Math.min(BLOCK_ROWS, end - first)
        const even = rows + (rows & 1)
        load(first, rows)
        kernel.multiply(even)
        if (even > rows) scores.fill(0, rows * classStride)
        residuals(first, rows, parameters, sums)
        kernel.accumulate(even)
      }
      for (let k = 0; k < classes; k++) {
        const from = k * widthStride
        sums.set(kernel.gradient.subarray(from, from + width), k * width)
      }
    },
  }
}
