import { openFused, type Backend } from '@deepfever/runtime'

import { pairOf } from '../geometry.ts'
import { portableKernels, type TfjsKernels } from './kernels.ts'

/** How a step trades time for memory. */
export interface KernelOptions {
  /** inputs of dense layers are computed again in the backward pass; a compiled step only */
  readonly recompute?: boolean
}

/** The operations that `backend` does better than the portable compositions; none on portable. */
export function kernelsOf(
  { kernels }: Backend,
  { recompute = false }: KernelOptions = {},
): Partial<TfjsKernels> {
  if (kernels === undefined) return {}
  const { relu, batchNorm, pointwise, denseInput } = openFused(kernels)
  return {
    ...(recompute && { denseInput }),
    relu,
    batchNorm,
    // oneDNN's matrix product beats its convolution, above all in the filter's gradient.
    conv2d: (x, weight, options) =>
      [...pairOf(options.kernel), ...pairOf(options.stride ?? 1)].every(size => size === 1) &&
      (options.padding ?? 0) === 0 &&
      (options.groups ?? 1) === 1
        ? pointwise(x, weight)
        : portableKernels.conv2d(x, weight, options),
  }
}
