import type { BackendWasm } from '@tensorflow/tfjs-backend-wasm'

import { tf } from './tensorflow.ts'

/**
 * Sums and means over all axes but the last, or over all, as the statistics of batch normalisation
 * and the losses need them. Added up in float64: the package's kernel transposes first and lets one
 * float32 run over all values, which over 2.7 million is off by 2e-3.
 *
 * @param stock the kernel that wasm comes with, which serves all other axes and types
 */
export const columnReduction = (stock: tf.KernelConfig): tf.KernelConfig => ({
  ...stock,
  kernelFunc: params => {
    const x = params.inputs['x']!
    const rank = x.shape.length
    const { axis, keepDims } = params.attrs as { axis?: number | number[]; keepDims?: boolean }
    const axes = new Set(tf.util.parseAxisParam(axis ?? x.shape.map((_, i) => i), x.shape))
    const isLeading = [...axes].every(each => each < axes.size)
    if (!isLeading || axes.size < rank - 1 || axes.size === 0 || x.dtype !== 'float32')
      return stock.kernelFunc(params)
    const columns = tf.util.sizeFromShape(x.shape.slice(axes.size))
    const rest = x.shape.slice(axes.size)
    const shape = keepDims ? [...x.shape.slice(0, axes.size).map(() => 1), ...rest] : rest
    const backend = params.backend as BackendWasm
    const out = backend.makeOutput(shape, 'float32')
    const values = backend.typedArrayFromHeap(x) as Float32Array
    const sums = columnSums(values, columns)
    const count = stock.kernelName === tf.Mean ? values.length / columns : 1
    const to = backend.typedArrayFromHeap(out) as Float32Array
    for (let i = 0; i < columns; i++) to[i] = sums[i]! / count
    return out
  },
})

function columnSums(values: Float32Array, columns: number): Float64Array {
  const sums = new Float64Array(columns)
  if (columns === 1) {
    let sum = 0
    for (let i = 0; i < values.length; i++) sum += values[i]!
    sums[0] = sum
    return sums
  }
  for (let at = 0; at < values.length; at += columns)
    for (let i = 0; i < columns; i++) sums[i]! += values[at + i]!
  return sums
}
