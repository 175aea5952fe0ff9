import { tf } from './tensorflow.ts'

type Shape4 = [number, number, number, number]
type PoolAttributes = {
  filterSize: number | [number, number]
  strides: number | [number, number]
  pad: 'valid' | 'same' | number
  dimRoundingMode?: 'floor' | 'round' | 'ceil'
}

/**
 * Gradient of maximum pooling: each window's gradient goes to its first largest value, as in torch.
 * The kernel of tfjs-backend-wasm 4.22 loses or misplaces gradients where windows meet.
 *
 * Takes dy [n, oh, ow, c] and x [n, h, w, c]; gives the gradient of x.
 */
export const maxPoolGradient: tf.KernelConfig = {
  kernelName: tf.MaxPoolGrad,
  backendName: 'wasm',
  kernelFunc: ({ inputs, attrs }) => {
    const dy = inputs['dy'] as tf.Tensor
    const x = inputs['input'] as tf.Tensor
    const { filterSize, strides, pad, dimRoundingMode } = attrs as unknown as PoolAttributes
    const shape = x.shape as Shape4
    const window = tf.backend_util.computePool2DInfo(
      shape,
      filterSize,
      strides,
      1,
      pad,
      dimRoundingMode,
    )
    const values = scatter(
      x.dataSync() as Float32Array,
      dy.dataSync() as Float32Array,
      shape,
      window,
    )
    return tf.tensor4d(values, shape)
  },
}

function scatter(
  x: Float32Array,
  dy: Float32Array,
  [batch, height, width, channels]: Shape4,
  window: ReturnType<typeof tf.backend_util.computePool2DInfo>,
): Float32Array {
  const gradient = new Float32Array(x.length)
  const { outHeight, outWidth, strideHeight, strideWidth, padInfo } = window
  let at = 0
  for (let n = 0; n < batch; n++)
    for (let row = 0; row < outHeight; row++) {
      const top = row * strideHeight - padInfo.top
      const [fromRow, toRow] = [Math.max(0, top), Math.min(height, top + window.filterHeight)]
      for (let column = 0; column < outWidth; column++) {
        const left = column * strideWidth - padInfo.left
        const fromColumn = Math.max(0, left)
        const toColumn = Math.min(width, left + window.filterWidth)
        for (let c = 0; c < channels; c++, at++) {
          let best = ((n * height + fromRow) * width + fromColumn) * channels + c
          let largest = x[best]!
          for (let y = fromRow; y < toRow; y++) {
            let i = ((n * height + y) * width + fromColumn) * channels + c
            for (let z = fromColumn; z < toColumn; z++, i += channels)
              if (x[i]! > largest) {
                largest = x[i]!
                best = i
              }
          }
          gradient[best]! += dy[at]!
        }
      }
    }
  return gradient
}
