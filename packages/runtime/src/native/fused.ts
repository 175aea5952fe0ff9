import { tf } from '../tensorflow.ts'
import type { Attribute, NativeKernels } from './addon.ts'

interface BatchNormed {
  readonly y: tf.Tensor4D
  readonly mean: tf.Tensor1D
  readonly variance: tf.Tensor1D
}

/** Operations of the native library that TensorFlow.js does not use by itself, with gradients. */
export interface FusedKernels {
  relu<T extends tf.Tensor>(x: T): T
  /** training-mode batch normalisation; mean and unbiased variance carry no gradient */
  batchNorm(x: tf.Tensor4D, weight: tf.Tensor1D, bias: tf.Tensor1D, eps: number): BatchNormed
  /**
   * `values` joined along channels, batch norm, ReLU and a 1x1 convolution. While a step is traced,
   * only `values` are kept for the backward pass: the rest is computed again there, with the
   * statistics of the forward pass.
   */
  denseInput(
    values: readonly tf.Tensor4D[],
    norm: { readonly weight: tf.Tensor1D; readonly bias: tf.Tensor1D; readonly eps: number },
    weight: tf.Tensor4D,
  ): BatchNormed
  /** a 1x1 convolution of stride 1 as a matrix product, x [n, h, w, in], weight [1, 1, in, out] */
  pointwise(x: tf.Tensor4D, weight: tf.Tensor4D): tf.Tensor4D
}

/** The fused operations of the native backend. */
export function openFused(kernels: NativeKernels): FusedKernels {
  const { TF_ATTR_TYPE, TF_ATTR_BOOL, TF_ATTR_FLOAT, TF_ATTR_STRING, TF_FLOAT } = kernels.binding
  const type = (name: string): Attribute => ({ name, type: TF_ATTR_TYPE, value: TF_FLOAT })
  const bool = (name: string, value: boolean): Attribute => ({ name, type: TF_ATTR_BOOL, value })
  const float = (name: string, value: number): Attribute => ({ name, type: TF_ATTR_FLOAT, value })
  const T = type('T')
  const one = (op: string, attributes: readonly Attribute[], inputs: readonly tf.Tensor[]) =>
    kernels.executeMultipleOutputs(op, attributes, inputs, 1)[0]!
  const product = (a: tf.Tensor, b: tf.Tensor, transposeA: boolean, transposeB: boolean) =>
    one('MatMul', [T, bool('transpose_a', transposeA), bool('transpose_b', transposeB)], [a, b])
  const norm = (eps: number, training = true): Attribute[] => [
    ...[T, type('U'), float('epsilon', eps), bool('is_training', training)],
    { name: 'data_format', type: TF_ATTR_STRING, value: 'NHWC' },
  ]
  const factor = float('exponential_avg_factor', 1)
  /** y, mean, unbiased variance, and what the gradient wants besides */
  const normalised = (
    [x, weight, bias]: readonly [tf.Tensor, tf.Tensor, tf.Tensor],
    eps: number,
  ): tf.Tensor[] => {
    const empty = tf.tensor1d([])
    const inputs = [x, weight, bias, empty, empty]
    return kernels.executeMultipleOutputs('FusedBatchNormV3', [...norm(eps), factor], inputs, 6)
  }
  const normGradients = (eps: number, inputs: readonly tf.Tensor[]): tf.Tensor[] =>
    kernels.executeMultipleOutputs('FusedBatchNormGradV3', norm(eps), inputs, 5).slice(0, 3)
  const after = <R>(tensor: tf.Tensor, f: () => R): R => {
    const gate = kernels.binding.after
    return gate ? gate(kernels.tensorMap.get(tensor.dataId).id, f) : f()
  }

  return {
    relu: x =>
      gradient([x], ([input], save) => {
        const y = one('Relu', [T], [input!])
        save([y])
        return {
          value: y,
          gradFunc: (dy: tf.Tensor, [kept]: tf.Tensor[]) => one('ReluGrad', [T], [dy, kept!]),
        }
      }) as typeof x,
    batchNorm(x, weight, bias, eps) {
      // Outside `gradient`, which would dispose the statistics; the tape does not see the operation.
      const [value, mean, variance, ...reserved] = normalised([x, weight, bias], eps)
      const y = gradient([x, weight, bias], ([input, w], save) => {
        save([input!, w!, ...reserved])
        return {
          value: value!,
          gradFunc: (dy: tf.Tensor, kept: tf.Tensor[]) => normGradients(eps, [dy, ...kept]),
        }
      })
      return { y: y as tf.Tensor4D, mean: mean as tf.Tensor1D, variance: variance as tf.Tensor1D }
    },
    denseInput(values, { weight, bias, eps }, filter) {
      const [, , inputs, outputs] = filter.shape
      const matrix = (w: tf.Tensor) => tf.reshape(w, [inputs, outputs])
      const rowsOf = (x: tf.Tensor) => tf.reshape(x, [-1, inputs])
      const join = (parts: readonly tf.Tensor[]) =>
        parts.length > 1 ? tf.concat([...parts], 3) : parts[0]!
      const x = join(values)
      const [y, mean, variance, ...reserved] = normalised([x, weight, bias], eps)
      const count = x.size / inputs
      const biased = tf.mul(variance!, (count - 1) / count)
      const narrow = product(rowsOf(one('Relu', [T], [y!])), matrix(filter), false, false)
      const value = tf.reshape(narrow, [...x.shape.slice(0, 3), outputs])
      const z = gradient([...values, weight, bias, filter], (given, save) => {
        save([...given, mean!, biased, ...reserved])
        const gradFunc = (dz: tf.Tensor, saved: tf.Tensor[]) =>
          after(dz, () => {
            const parts = saved.slice(0, values.length)
            const [w, b, f, m, v, ...rest] = saved.slice(values.length) as tf.Tensor[]
            const again = join(parts)
            const attributes = [...norm(eps, false), factor]
            const unit = kernels.executeMultipleOutputs(
              'FusedBatchNormV3',
              attributes,
              [again, w!, b!, m!, v!],
              6,
            )
            const active = one('Relu', [T], [unit[0]!])
            const d = tf.reshape(dz, [-1, outputs])
            const toActive = tf.reshape(product(d, matrix(f!), false, true), active.shape)
            const toNorm = one('ReluGrad', [T], [toActive, active])
            const [dx, dw, db] = normGradients(eps, [toNorm, again, w!, ...rest])
            const toFilter = tf.reshape(product(rowsOf(active), d, true, false), filter.shape)
            const sizes = values.map(part => part.shape[3])
            const toParts = values.length > 1 ? tf.split(dx!, sizes, 3) : [dx!]
            return [...toParts, dw!, db!, toFilter]
          })
        return { value, gradFunc }
      })
      return { y: z as tf.Tensor4D, mean: mean as tf.Tensor1D, variance: variance as tf.Tensor1D }
    },
    pointwise: (x, weight) =>
      gradient([x, weight], ([input, w], save) => {
        const [n, height, width, inputs] = x.shape
        const outputs = weight.shape[3]
        save([input!, w!])
        const rows = tf.reshape(input!, [-1, inputs])
        const value = product(rows, tf.reshape(w!, [inputs, outputs]), false, false)
        return {
          value: tf.reshape(value, [n, height, width, outputs]),
          gradFunc: (dy: tf.Tensor, [kept, filter]: tf.Tensor[]) => {
            const out = tf.reshape(dy, [-1, outputs])
            const toInput = product(out, tf.reshape(filter!, [inputs, outputs]), false, true)
            const toWeight = product(tf.reshape(kept!, [-1, inputs]), out, true, false)
            return [tf.reshape(toInput, x.shape), tf.reshape(toWeight, weight.shape)]
          },
        }
      }) as tf.Tensor4D,
  }
}

type Save = (tensors: tf.Tensor[]) => void

/** tf.customGrad with its inputs as a list. */
function gradient(
  inputs: readonly tf.Tensor[],
  f: (
    inputs: readonly tf.Tensor[],
    save: Save,
  ) => {
    value: tf.Tensor
    gradFunc: (dy: tf.Tensor, saved: tf.Tensor[]) => tf.Tensor | tf.Tensor[]
  },
): tf.Tensor {
  return tf.customGrad((...all) => {
    const save = all.at(-1) as unknown as Save
    return f(all.slice(0, -1) as tf.Tensor[], save)
  })(...inputs)
}
