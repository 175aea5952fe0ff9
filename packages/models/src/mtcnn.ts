import type { Network } from './network.ts'
import type { Ops } from './ops.ts'

const normalisation = { mean: [127.5, 127.5, 127.5], std: [128, 128, 128] }

function convPrelu<T>(ops: Ops<T>, x: T, index: number, out: number, kernel: number): T {
  return ops.prelu(`prelu${index}`, ops.conv2d(`conv${index}`, x, { out, kernel, bias: true }))
}

/**
 * MTCNN's proposal network, fully convolutional: stride 2, cells of 12 pixels, images of any size.
 * `regression` [4, h, w], `probability` [2, h, w] (Zhang et al. 2016; names as facenet-pytorch).
 */
export const pNet: Network<'regression' | 'probability'> = {
  name: 'pnet',
  input: [3, NaN, NaN],
  normalisation,
  outputs: ['regression', 'probability'],
  build(ops, image) {
    let x = convPrelu(ops, image, 1, 10, 3)
    x = ops.maxPool(x, { kernel: 2, stride: 2, ceil: true })
    x = convPrelu(ops, x, 2, 16, 3)
    x = convPrelu(ops, x, 3, 32, 3)
    return {
      regression: ops.conv2d('conv4_2', x, { out: 4, kernel: 1, bias: true }),
      probability: ops.softmax(ops.conv2d('conv4_1', x, { out: 2, kernel: 1, bias: true })),
    }
  },
}

/** MTCNN's refinement network, 24 x 24 crops: `regression` [4], `probability` [2]. */
export const rNet: Network<'regression' | 'probability'> = {
  name: 'rnet',
  input: [3, 24, 24],
  normalisation,
  outputs: ['regression', 'probability'],
  build(ops, image) {
    let x = convPrelu(ops, image, 1, 28, 3)
    x = ops.maxPool(x, { kernel: 3, stride: 2, ceil: true })
    x = convPrelu(ops, x, 2, 48, 3)
    x = ops.maxPool(x, { kernel: 3, stride: 2, ceil: true })
    x = convPrelu(ops, x, 3, 64, 2)
    x = ops.prelu('prelu4', ops.dense('dense4', ops.flatten(x), { out: 128 }))
    return {
      regression: ops.dense('dense5_2', x, { out: 4 }),
      probability: ops.softmax(ops.dense('dense5_1', x, { out: 2 })),
    }
  },
}

/**
 * MTCNN's output network, 48 x 48 crops: `regression` [4], `landmarks` [10] (five x, then five y,
 * as fractions of the box), `probability` [2].
 */
export const oNet: Network<'regression' | 'landmarks' | 'probability'> = {
  name: 'onet',
  input: [3, 48, 48],
  normalisation,
  outputs: ['regression', 'landmarks', 'probability'],
  build(ops, image) {
    let x = convPrelu(ops, image, 1, 32, 3)
    x = ops.maxPool(x, { kernel: 3, stride: 2, ceil: true })
    x = convPrelu(ops, x, 2, 64, 3)
    x = ops.maxPool(x, { kernel: 3, stride: 2, ceil: true })
    x = convPrelu(ops, x, 3, 64, 3)
    x = ops.maxPool(x, { kernel: 2, stride: 2, ceil: true })
    x = convPrelu(ops, x, 4, 128, 2)
    x = ops.prelu('prelu5', ops.dense('dense5', ops.flatten(x), { out: 256 }))
    return {
      regression: ops.dense('dense6_2', x, { out: 4 }),
      landmarks: ops.dense('dense6_3', x, { out: 10 }),
      probability: ops.softmax(ops.dense('dense6_1', x, { out: 2 })),
    }
  },
}
