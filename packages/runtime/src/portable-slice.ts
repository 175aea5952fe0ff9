import type { BackendWasm } from '@tensorflow/tfjs-backend-wasm'

import { tf } from './tensorflow.ts'

type Numbers = Float32Array | Int32Array | Uint8Array

/**
 * Slices read where they lie: the package's own kernel copies the whole input first, so that the
 * gradient of a concatenation costs the concatenation's size for every part.
 *
 * @param stock the kernel that wasm comes with, which still serves strings
 */
export const slice = (stock: tf.KernelConfig): tf.KernelConfig => ({
  ...stock,
  kernelFunc: params => {
    const x = params.inputs['x']!
    const { begin, size } = params.attrs as { begin: number[]; size: number[] }
    if (x.dtype === 'string') return stock.kernelFunc(params)
    const [first, extent] = tf.slice_util.parseSliceParams(x as tf.Tensor, begin, size) as [
      number[],
      number[],
    ]
    return copyOf(params.backend as BackendWasm, x, first, extent)
  },
})

/** A split is a slice a part; see `slice`. */
export const split = (stock: tf.KernelConfig): tf.KernelConfig => ({
  ...stock,
  kernelFunc: params => {
    const x = params.inputs['x']!
    if (x.dtype === 'string') return stock.kernelFunc(params)
    const { numOrSizeSplits, axis } = params.attrs as {
      numOrSizeSplits: number | number[]
      axis: number
    }
    const along = tf.util.parseAxisParam(axis, x.shape)[0]!
    const sizes = tf.backend_util.prepareSplitSize(x as tf.Tensor, numOrSizeSplits, along)
    const begin = x.shape.map(() => 0)
    return sizes.map(part => {
      const extent = x.shape.map((size, i) => (i === along ? part : size))
      const made = copyOf(params.backend as BackendWasm, x, [...begin], extent)
      begin[along]! += part
      return made
    })
  },
})

function copyOf(backend: BackendWasm, x: tf.TensorInfo, begin: number[], size: number[]) {
  const out = backend.makeOutput(size, x.dtype)
  // Views are taken after the allocation, which may move the heap.
  const to = backend.typedArrayFromHeap(out) as Numbers
  const from = backend.typedArrayFromHeap(x) as Numbers
  copyBlock(from, x.shape, begin, size, to)
  return out
}

/** Copies the block of `from` (row-major, `shape`) that starts at `begin` and has `size`. */
function copyBlock(from: Numbers, shape: number[], begin: number[], size: number[], to: Numbers) {
  if (to.length === 0) return
  const strides = [...tf.util.computeStrides(shape), 1]
  let start = 0
  begin.forEach((at, axis) => (start += at * strides[axis]!))
  // Axes after the last cut one are whole: they and the cut one are one run.
  let cut = shape.length - 1
  while (cut > 0 && size[cut] === shape[cut]) cut--
  const run = cut < 0 ? 1 : size[cut]! * strides[cut]!
  const index = size.slice(0, Math.max(cut, 0)).map(() => 0)
  for (let at = 0, source = start; at < to.length; at += run) {
    if (run < 32) for (let i = 0; i < run; i++) to[at + i] = from[source + i]!
    else to.set(from.subarray(source, source + run), at)
    for (let axis = cut - 1; axis >= 0; axis--) {
      source += strides[axis]!
      if (++index[axis]! < size[axis]!) break
      source -= strides[axis]! * size[axis]!
      index[axis] = 0
    }
  }
}
