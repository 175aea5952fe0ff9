import { convNormRelu } from './conv-norm.ts'
import { denseBlock } from './dense-net.ts'
import { buildHeads, headNames } from './heads.ts'
import type { Heads } from './heads.ts'
import { FACENET_NORMALISATION, TEACHER_TRUNK, inceptionResnetV1 } from './inception-resnet-v1.ts'
import type { InceptionResnetV1 } from './inception-resnet-v1.ts'
import type { Network } from './network.ts'

/** The teacher's sizes; `embedding` is the one that two teachers differ in. */
export interface Teacher {
  readonly trunk: InceptionResnetV1
  /** one dense block between two 1x1 convolutions */
  readonly neck: {
    readonly reduce: number
    readonly layers: number
    readonly growth: number
    readonly bottleneck: number
  }
  readonly embedding: number
  readonly heads: Heads
  readonly dropout: number
  /** side of the square image in pixels */
  readonly size: number
}

/** The paper's teacher, with the choices of FECNet where the paper refers to it. */
export const TEACHER: Teacher = {
  trunk: TEACHER_TRUNK,
  neck: { reduce: 512, layers: 5, growth: 64, bottleneck: 4 },
  embedding: 256,
  heads: { fec: 32, affectnet: 8 },
  dropout: 0.1,
  size: 140,
}

/**
 * A teacher: Inception-ResNet-v1 trunk, dense neck, mean over the map, dropout, linear heads.
 * Outputs `embedding` (before dropout) and one vector a head.
 */
export function teacherNetwork(teacher: Teacher = TEACHER): Network {
  const { trunk, neck, embedding, heads, dropout, size } = teacher
  return {
    name: `teacher${embedding}`,
    input: [3, size, size],
    normalisation: FACENET_NORMALISATION,
    starts: { trunk: 'uniform' },
    outputs: ['embedding', ...headNames(heads)],
    build(ops, image) {
      let x = inceptionResnetV1(ops, 'trunk', image, trunk)
      x = convNormRelu(ops, 'neck.reduce', x, { out: neck.reduce, kernel: 1 })
      x = ops.tap('neck.reduce', x)
      x = denseBlock(ops, layer => `neck.dense.layer${layer}`, x, neck.layers, neck)
      x = ops.tap('neck.dense', x)
      x = convNormRelu(ops, 'neck.project', x, { out: embedding, kernel: 1 })
      return buildHeads(ops, ops.globalAveragePool(x), heads, dropout)
    },
  }
}
