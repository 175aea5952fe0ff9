import { tf } from '../tensorflow.ts'
import type { Attribute, NativeKernels } from './addon.ts'

/** Operations of the native library that TensorFlow.js does not use by itself, with gradients. */
export interface FusedKernels {
  relu<T extends tf.Tensor>(x: T): T
  /** training-mode batch normalisation; mean and unbiased variance carry no gradient */
  batchNorm(
    x: tf.Tensor4D,
    weight: tf.Tensor1D,
    bias: tf.Tensor1D,
    eps: number,
  ): { readonly y: tf.Tensor4D; readonly mean: tf.Tensor1D; readonly variance: tf.Tensor1D }
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
  const norm = (eps: number): Attribute[] => [
    ...[T, type('U'), float('epsilon', eps), bool('is_training', true)],
    { name: 'data_format', type: TF_ATTR_STRING, value: 'NHWC' },
  ]

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
      const empty = tf.tensor1d([])
      // Outside `gradient`, which would dispose the statistics; the tape does not see the operation.
      const [value, mean, variance, ...reserved] = kernels.executeMultipleOutputs(
        'FusedBatchNormV3',
        [...norm(eps), float('exponential_avg_factor', 1)],
        [x, weight, bias, empty, empty],
        6,
      )
      const y = gradient([x, weight, bias], ([input, w], save) => {
        save([input!, w!, ...reserved])
        return {
          value: value!,
          gradFunc: (dy: tf.Tensor, [kept, scale, ...rest]: tf.Tensor[]) =>
            kernels
              .executeMultipleOutputs(
                'FusedBatchNormGradV3',
                norm(eps),
                [dy, kept!, scale!, ...rest],
                5,
              )
              .slice(0, 3),
        }
      })
      return { y: y as tf.Tensor4D, mean: mean as tf.Tensor1D, variance: variance as tf.Tensor1D }
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
