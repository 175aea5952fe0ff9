import type { Conv2d, Ops } from './ops.ts'

/** torch's default for batch normalisation. */
export const NORM_EPS = 1e-5

/** Convolution, batch normalisation, ReLU: parameters `<name>.conv.*` and `<name>.bn.*`. */
export function convNormRelu<T>(ops: Ops<T>, name: string, x: T, conv: Conv2d, eps = NORM_EPS): T {
  return ops.relu(ops.batchNorm(`${name}.bn`, ops.conv2d(`${name}.conv`, x, conv), { eps }))
}
