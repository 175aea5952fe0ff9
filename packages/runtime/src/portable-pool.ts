import type { BackendWasm } from '@tensorflow/tfjs-backend-wasm'

import { tf } from './tensorflow.ts'

type PoolAttributes = {
  filterSize: number | [number, number]
  strides: number | [number, number]
  pad: 'valid' | 'same' | number
  dimRoundingMode?: 'floor' | 'round' | 'ceil'
}

/**
 * Gradient of max pooling: a window's gradient goes to its first maximum. The package's own kernel
 * drops the gradient of windows whose values are all negative or zero.
 *
 * Takes input [n, h, w, c] and dy [n, oh, ow, c]; gives [n, h, w, c].
 */
export const maxPoolGradient: tf.KernelConfig = {
  kernelName: tf.MaxPoolGrad,
  backendName: 'wasm',
  kernelFunc: ({ inputs, attrs, backend }) => {
    const input = inputs['input']!
    const { filterSize, strides, pad, dimRoundingMode } = attrs as unknown as PoolAttributes
    const shape = input.shape as [number, number, number, number]
    const info = tf.backend_util.computePool2DInfo(
      shape,
      filterSize,
      strides,
      1,
      pad,
      dimRoundingMode,
    )
    const wasm = backend as BackendWasm
    const dx = wasm.makeOutput(shape, 'float32')
    // Views are taken after the allocation, which may move the heap.
    const view = (tensor: tf.TensorInfo) => wasm.typedArrayFromHeap(tensor) as Float32Array
    scatter(view(input), view(inputs['dy']!), view(dx), info)
    return dx
  },
}

function scatter(
  x: Float32Array,
  dy: Float32Array,
  dx: Float32Array,
  info: tf.backend_util.Conv2DInfo,
): void {
  const { batchSize, inChannels, inHeight, inWidth, outHeight, outWidth } = info
  const { strideHeight, strideWidth, filterHeight, filterWidth, padInfo } = info
  const places = new Int32Array(inChannels)
  dx.fill(0)
  let from = 0
  for (let n = 0; n < batchSize; n++)
    for (let row = 0; row < outHeight; row++)
      for (let column = 0; column < outWidth; column++, from += inChannels) {
        const top = row * strideHeight - padInfo.top
        const left = column * strideWidth - padInfo.left
        const bottom = Math.min(inHeight, top + filterHeight)
        const right = Math.min(inWidth, left + filterWidth)
        places.fill(-1)
        for (let y = Math.max(0, top); y < bottom; y++)
          for (let z = Math.max(0, left); z < right; z++) {
            const at = ((n * inHeight + y) * inWidth + z) * inChannels
            for (let c = 0; c < inChannels; c++)
              if (places[c]! < 0 || x[at + c]! > x[places[c]!]!) places[c] = at + c
          }
        for (let c = 0; c < inChannels; c++) dx[places[c]!]! += dy[from + c]!
      }
}
