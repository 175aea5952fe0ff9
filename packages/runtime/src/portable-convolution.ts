import { tf } from './tensorflow.ts'

type Window = ReturnType<typeof tf.backend_util.computeConv2DInfo>
type ConvolutionAttributes = {
  strides: number | [number, number]
  pad: 'valid' | 'same' | number | tf.backend_util.ExplicitPadding
  dimRoundingMode?: 'floor' | 'round' | 'ceil'
}

/**
 * Gradient of a convolution's filter, as one convolution: the channels of the padded input become
 * the batch, the batch becomes the channels, and the output gradient is the filter, dilated by the
 * stride. A 1x1 filter is one matrix product.
 *
 * Takes x [n, h, w, ci] and dy [n, oh, ow, co]; gives [kh, kw, ci, co].
 */
export const filterGradient: tf.KernelConfig = {
  kernelName: tf.Conv2DBackpropFilter,
  backendName: 'wasm',
  kernelFunc: ({ inputs, attrs }) => {
    const x = toTensor(inputs['x']!)
    const dy = toTensor(inputs['dy']!)
    const { filterShape, ...rest } = attrs as unknown as ConvolutionAttributes & {
      filterShape: [number, number, number, number]
    }
    return tf.tidy(() => filterGradientOf(x, dy, windowOf(x.shape, filterShape, rest)))
  },
}

/**
 * Gradient of a convolution's input, as one convolution for every phase of the stride (one in
 * all at stride 1): pixels of a phase meet only every stride-th tap, so no zeros are multiplied.
 *
 * Takes dy [n, oh, ow, co] and filter [kh, kw, ci, co]; gives [n, h, w, ci].
 */
export const inputGradient: tf.KernelConfig = {
  kernelName: tf.Conv2DBackpropInput,
  backendName: 'wasm',
  kernelFunc: ({ inputs, attrs }) => {
    const dy = toTensor(inputs['dy']!)
    const filter = toTensor(inputs['filter']!)
    const { inputShape, ...rest } = attrs as unknown as ConvolutionAttributes & {
      inputShape: [number, number, number, number]
    }
    return tf.tidy(() => inputGradientOf(dy, filter, windowOf(inputShape, filter.shape, rest)))
  },
}

function filterGradientOf(x: tf.Tensor4D, dy: tf.Tensor4D, w: Window): tf.Tensor {
  const { filterHeight, filterWidth, inChannels, outChannels, strideHeight, strideWidth } = w
  if (isPointwise(w)) {
    const product = tf.matMul(rowsOf(x), rowsOf(dy), true, false)
    return tf.reshape(product, [1, 1, inChannels, outChannels])
  }
  const { top, bottom, left, right } = w.padInfo
  const around: [number, number][] = [
    [0, 0],
    [top, bottom],
    [left, right],
    [0, 0],
  ]
  const padded = top + bottom + left + right > 0 ? tf.pad(x, around) : x
  const taps = tf.conv2d(
    tf.transpose(padded, [3, 1, 2, 0]),
    tf.transpose(dy, [1, 2, 0, 3]),
    1,
    'valid',
    'NHWC',
    [strideHeight, strideWidth],
  )
  // The stride may leave rows and columns that no window reached.
  const reached = tf.slice(taps, 0, [inChannels, filterHeight, filterWidth, outChannels])
  return tf.transpose(reached, [1, 2, 0, 3])
}

function inputGradientOf(dy: tf.Tensor4D, filter: tf.Tensor4D, w: Window): tf.Tensor {
  const { batchSize, inHeight, inWidth, inChannels, outChannels } = w
  if (isPointwise(w)) {
    const weight = tf.reshape(filter, [inChannels, outChannels])
    return tf.reshape(tf.matMul(rowsOf(dy), weight, false, true), w.inShape)
  }
  const taps = tf.transpose(
    tf.reshape(filter, [w.filterHeight * w.filterWidth, inChannels, outChannels]),
    [0, 2, 1],
  )
  const height = phasesOf(w.filterHeight, w.strideHeight, w.padInfo.top, inHeight, w.outHeight)
  const width = phasesOf(w.filterWidth, w.strideWidth, w.padInfo.left, inWidth, w.outWidth)
  const rows = height.phases.map(row => {
    const columns = width.phases.map(column => {
      const shape = [batchSize, height.count, width.count, inChannels] as const
      if (row.taps === 0 || column.taps === 0) return tf.zeros([...shape])
      const part: tf.Tensor4D = tf.reshape(tf.gather(taps, tapsOf(row, column, w)), [
        row.taps,
        column.taps,
        outChannels,
        inChannels,
      ])
      const padded: tf.Tensor4D = tf.pad(dy, [
        [0, 0],
        [row.taps - 1, height.count - w.outHeight],
        [column.taps - 1, width.count - w.outWidth],
        [0, 0],
      ])
      return tf.conv2d(padded, part, 1, 'valid')
    })
    return interleave(columns, 3)
  })
  const whole = interleave(rows, 2)
  const from = [0, w.padInfo.top, w.padInfo.left, 0]
  return tf.slice(whole, from, w.inShape)
}

type Phase = { readonly first: number; readonly taps: number }

// Position p of the padded axis is count * stride + phase; every stride-th tap from `phase` meets it.
function phasesOf(kernel: number, stride: number, before: number, size: number, out: number) {
  const phases = Array.from({ length: stride }, (_, first): Phase => ({
    first,
    taps: Math.max(0, Math.ceil((kernel - first) / stride)),
  }))
  return { phases, count: Math.max(Math.ceil((size + before) / stride), out) }
}

// Flat indices of a phase's taps, last first: a gradient runs over the filter backwards.
function tapsOf(row: Phase, column: Phase, w: Window): tf.Tensor1D {
  const indices: number[] = []
  for (let i = row.taps - 1; i >= 0; i--)
    for (let j = column.taps - 1; j >= 0; j--)
      indices.push(
        (row.first + i * w.strideHeight) * w.filterWidth + column.first + j * w.strideWidth,
      )
  return tf.tensor1d(indices, 'int32')
}

// [n, a, b, c] times `length` into one tensor whose axis 1 (axis = 2) or 2 (axis = 3) is interleaved.
function interleave(parts: tf.Tensor[], axis: 2 | 3): tf.Tensor {
  const [n, a, b, c] = parts[0]!.shape as [number, number, number, number]
  if (parts.length === 1) return parts[0]!
  if (axis === 3) {
    const columns = parts.map(part => tf.reshape(part, [n, a, b, 1, c]))
    return tf.reshape(tf.concat(columns, 3), [n, a, b * parts.length, c])
  }
  const rows = parts.map(part => tf.reshape(part, [n, a, 1, b, c]))
  return tf.reshape(tf.concat(rows, 2), [n, a * parts.length, b, c])
}

const isPointwise = (w: Window): boolean =>
  w.filterHeight * w.filterWidth * w.strideHeight * w.strideWidth === 1 &&
  w.padInfo.top + w.padInfo.bottom + w.padInfo.left + w.padInfo.right === 0

const rowsOf = (x: tf.Tensor4D): tf.Tensor2D => tf.reshape(x, [-1, x.shape[3]])

const windowOf = (input: number[], filter: number[], attributes: ConvolutionAttributes): Window =>
  tf.backend_util.computeConv2DInfo(
    input as [number, number, number, number],
    filter as [number, number, number, number],
    attributes.strides,
    1,
    attributes.pad,
    attributes.dimRoundingMode,
  )

// What a kernel is given by the engine is a tensor already; the type says less.
const toTensor = (info: tf.TensorInfo): tf.Tensor4D => info as tf.Tensor4D
