import { BACKBONES, IMAGENET_NORMALISATION, buildBackbone } from './backbone.ts'
import type { Backbone } from './backbone.ts'
import { convNormRelu } from './conv-norm.ts'
import { buildHeads, headNames } from './heads.ts'
import type { Heads } from './heads.ts'
import type { Network } from './network.ts'
import type { Ops } from './ops.ts'

/** The student's sizes. */
export interface Student {
  readonly backbone: Backbone
  /**
   * 'convolution': 1x1 convolution, batch norm, ReLU, then the mean, as in the teacher;
   * 'linear': the mean, then a dense layer `project.linear`
   */
  readonly projection: 'convolution' | 'linear'
  readonly embedding: number
  readonly heads: Heads
  readonly dropout: number
  /** side of the square image in pixels */
  readonly size: number
}

/** The paper's student. */
export const STUDENT: Student = {
  backbone: BACKBONES.densenet201,
  projection: 'convolution',
  embedding: 256,
  heads: { fec: 32, affectnet: 8, distill: 80 },
  dropout: 0.2,
  size: 140,
}

/** A student: backbone, projection, dropout, heads. Outputs `embedding` and one vector a head. */
export function studentNetwork(student: Student = STUDENT): Network {
  const { backbone, projection, embedding, heads, dropout, size } = student
  return {
    name: 'student',
    input: [3, size, size],
    normalisation: IMAGENET_NORMALISATION,
    starts: { backbone: backbone.kind === 'densenet' ? 'fan-in' : 'fan-out' },
    outputs: ['embedding', ...headNames(heads)],
    build<T>(ops: Ops<T>, image: T) {
      const features = buildBackbone(ops, 'backbone', image, backbone)
      const vector =
        projection === 'linear'
          ? ops.dense('project.linear', ops.globalAveragePool(features), { out: embedding })
          : ops.globalAveragePool(
              convNormRelu(ops, 'project', features, { out: embedding, kernel: 1 }),
            )
      return buildHeads(ops, vector, heads, dropout)
    },
  }
}
