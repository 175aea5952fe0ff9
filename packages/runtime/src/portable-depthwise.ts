import { ShapeError } from '@deepfever/core'
import type { BackendWasm } from '@tensorflow/tfjs-backend-wasm'

import { tf } from './tensorflow.ts'

type Shape = [number, number, number, number]
type DepthwiseAttributes = {
  strides: number | [number, number]
  dilations: number | [number, number]
  pad: 'valid' | 'same' | number
  dimRoundingMode?: 'floor' | 'round' | 'ceil'
}

/**
 * Gradient of a depthwise convolution's filter, one output a channel.
 *
 * Takes x [n, h, w, c] and dy [n, oh, ow, c]; gives [kh, kw, c, 1].
 */
export const depthwiseFilterGradient: tf.KernelConfig = {
  kernelName: tf.DepthwiseConv2dNativeBackpropFilter,
  backendName: 'wasm',
  kernelFunc: ({ inputs, attrs, backend }) => {
    const { filterShape, ...rest } = attrs as unknown as DepthwiseAttributes & {
      filterShape: Shape
    }
    const x = inputs['x']!
    const info = windowOf(x.shape, filterShape, rest)
    return accumulated(backend as BackendWasm, filterShape, (to, view) => {
      const [values, dy] = [view(x), view(inputs['dy']!)]
      visit(info, (image, filter, output) => {
        for (let c = 0; c < info.inChannels; c++)
          to[filter + c]! += values[image + c]! * dy[output + c]!
      })
    })
  },
}

/**
 * Gradient of a depthwise convolution's input, one output a channel.
 *
 * Takes dy [n, oh, ow, c] and filter [kh, kw, c, 1]; gives [n, h, w, c].
 */
export const depthwiseInputGradient: tf.KernelConfig = {
  kernelName: tf.DepthwiseConv2dNativeBackpropInput,
  backendName: 'wasm',
  kernelFunc: ({ inputs, attrs, backend }) => {
    const { inputShape, ...rest } = attrs as unknown as DepthwiseAttributes & { inputShape: Shape }
    const filter = inputs['filter']!
    const info = windowOf(inputShape, filter.shape, rest)
    return accumulated(backend as BackendWasm, inputShape, (to, view) => {
      const [weights, dy] = [view(filter), view(inputs['dy']!)]
      visit(info, (image, tap, output) => {
        for (let c = 0; c < info.inChannels; c++)
          to[image + c]! += weights[tap + c]! * dy[output + c]!
      })
    })
  },
}

type Fill = (to: Float32Array, view: (tensor: tf.TensorInfo) => Float32Array) => void

function accumulated(backend: BackendWasm, shape: Shape, fill: Fill): tf.TensorInfo {
  const out = backend.makeOutput(shape, 'float32')
  // Views are taken after the allocation, which may move the heap.
  const view = (tensor: tf.TensorInfo) => backend.typedArrayFromHeap(tensor) as Float32Array
  const to = view(out)
  to.fill(0)
  fill(to, view)
  return out
}

// Every pair of an output pixel and a tap inside the image, as offsets of their first channels.
function visit(
  info: tf.backend_util.Conv2DInfo,
  each: (image: number, filter: number, output: number) => void,
): void {
  const { inChannels, inHeight, inWidth, outHeight, outWidth, padInfo } = info
  let output = 0
  for (let n = 0; n < info.batchSize; n++)
    for (let row = 0; row < outHeight; row++)
      for (let column = 0; column < outWidth; column++, output += inChannels)
        for (let i = 0; i < info.filterHeight; i++) {
          const y = row * info.strideHeight - padInfo.top + i
          if (y < 0 || y >= inHeight) continue
          for (let j = 0; j < info.filterWidth; j++) {
            const z = column * info.strideWidth - padInfo.left + j
            if (z < 0 || z >= inWidth) continue
            const image = ((n * inHeight + y) * inWidth + z) * inChannels
            each(image, (i * info.filterWidth + j) * inChannels, output)
          }
        }
}

function windowOf(input: number[], filter: number[], attributes: DepthwiseAttributes) {
  if (filter[3] !== 1)
    throw new ShapeError(
      `depthwise convolution: filter [${filter}] has ${filter[3]} outputs a channel, expected 1`,
      { found: filter[3], wanted: 1 },
    )
  const { strides, dilations, pad, dimRoundingMode } = attributes
  const shapes = [input as Shape, filter as Shape] as const
  return tf.backend_util.computeConv2DInfo(
    ...shapes,
    strides,
    dilations,
    pad,
    dimRoundingMode,
    true,
  )
}
