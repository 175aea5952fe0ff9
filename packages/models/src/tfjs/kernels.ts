import { tf } from '@deepfever/runtime'

import { pairOf, sidesOf } from '../geometry.ts'
import type { Conv2d } from '../ops.ts'

/** A batch normalised by its own statistics, and what these add to the running ones. */
export interface BatchNormResult {
  readonly y: tf.Tensor4D
  readonly mean: tf.Tensor1D
  /** unbiased, divided by n - 1, as torch keeps it; `y` is made with the biased one */
  readonly variance: tf.Tensor1D
}

/** The operations that a backend may do better than the portable compositions here. */
export interface TfjsKernels {
  /** x [n, h, w, in], weight [kh, kw, in, out] or depthwise [kh, kw, channels, 1]; no bias */
  conv2d(x: tf.Tensor4D, weight: tf.Tensor4D, options: Conv2d): tf.Tensor4D
  /** training-mode batch normalisation, differentiable in x, weight and bias [c] */
  batchNorm(x: tf.Tensor4D, weight: tf.Tensor1D, bias: tf.Tensor1D, eps: number): BatchNormResult
  relu(x: tf.Tensor): tf.Tensor
  /**
   * `values` joined along channels, batch norm, ReLU and a 1x1 convolution, weight [1, 1, in, out];
   * what is inside is computed again in the backward pass instead of being kept
   */
  denseInput?(
    values: readonly tf.Tensor4D[],
    norm: { readonly weight: tf.Tensor1D; readonly bias: tf.Tensor1D; readonly eps: number },
    weight: tf.Tensor4D,
  ): BatchNormResult
}

/** Kernels for any backend. */
export const portableKernels: TfjsKernels = { conv2d, batchNorm, relu: x => tf.relu(x) }

const AXES = [0, 1, 2]

/** `x` with `value` around its height and width; sides are [top, left, bottom, right]. */
export function padSides(
  x: tf.Tensor4D,
  [top, left, bottom, right]: readonly [number, number, number, number],
  value: number,
): tf.Tensor4D {
  if (top + left + bottom + right === 0) return x
  const paddings: [number, number][] = [
    [0, 0],
    [top, bottom],
    [left, right],
    [0, 0],
  ]
  return tf.pad(x, paddings, value)
}

// the kernels of tfjs-node take 'valid' and 'same' only
function conv2d(x: tf.Tensor4D, weight: tf.Tensor4D, options: Conv2d): tf.Tensor4D {
  const [kh, kw] = pairOf(options.kernel)
  const [sh, sw] = pairOf(options.stride ?? 1)
  const sides = sidesOf(options.padding)
  const centred = sides.every((side, i) => side === ((i % 2 === 0 ? kh : kw) - 1) / 2)
  const same = centred && sh === 1 && sw === 1
  const input = same ? x : padSides(x, sides, 0)
  const padding = same ? 'same' : 'valid'
  return (options.groups ?? 1) === 1
    ? tf.conv2d(input, weight, [sh, sw], padding)
    : tf.depthwiseConv2d(input, weight, [sh, sw], padding)
}

/*
 * The gradient is written out (Ioffe & Szegedy 2015, section 3): one tensor a layer is kept for the
 * backward pass where automatic differentiation keeps five.
 */
function batchNorm(
  x: tf.Tensor4D,
  weight: tf.Tensor1D,
  bias: tf.Tensor1D,
  eps: number,
): BatchNormResult {
  // under customGrad nothing inside is recorded, and no gradient is meant to flow through these
  const statistics = tf.customGrad(input => {
    const value = input as tf.Tensor
    const mean = tf.mean(value, AXES)
    const variance = tf.mean(tf.square(tf.sub(value, mean)), AXES)
    return { value: tf.stack([mean, variance]), gradFunc: () => tf.zerosLike(value) }
  })(x)
  const [mean, variance] = tf.unstack(statistics) as [tf.Tensor1D, tf.Tensor1D]
  const inverse: tf.Tensor1D = tf.rsqrt(tf.add<tf.Tensor1D>(variance, eps))

  const normalise = tf.customGrad((...inputs) => {
    const [input, w, b, save] = inputs as unknown as [
      tf.Tensor,
      tf.Tensor1D,
      tf.Tensor1D,
      tf.GradSaveFunc,
    ]
    // the rest of the forward pass is disposed before the backward pass
    save([input, w, mean, inverse])
    const gain = tf.mul(w, inverse)
    const value: tf.Tensor = tf.add(tf.mul(input, gain), tf.sub(b, tf.mul(mean, gain)))
    return {
      value,
      gradFunc: (dy: tf.Tensor, saved: tf.Tensor[]) => normGradients(dy, saved),
    }
  })
  const count = x.size / weight.size
  return {
    y: normalise(x, weight, bias) as tf.Tensor4D,
    mean,
    variance: tf.mul<tf.Tensor1D>(variance, count / Math.max(1, count - 1)),
  }
}

function normGradients(dy: tf.Tensor, saved: readonly tf.Tensor[]): tf.Tensor[] {
  const [input, weight, mean, inverse] = saved as readonly [
    tf.Tensor,
    tf.Tensor,
    tf.Tensor,
    tf.Tensor,
  ]
  const count = input.size / mean.size
  const unit = tf.mul(tf.sub(input, mean), inverse)
  const toBias: tf.Tensor = tf.sum(dy, AXES)
  const toWeight: tf.Tensor = tf.sum(tf.mul(dy, unit), AXES)
  const common = tf.add(tf.mul(unit, tf.div(toWeight, count)), tf.div(toBias, count))
  return [tf.mul(tf.sub(dy, common), tf.mul(weight, inverse)), toWeight, toBias]
}
