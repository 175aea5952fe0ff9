/**
 * Teacher of embedding 256 (paper II-A, III-B): FEC triplets and AffectNet classes, 13 epochs.
 *
 *   npx nx run train:teacher256
 *   expected: FEC test 84.5, AffectNet 61.3 / 65.4 (paper, Tables I and II); not run here
 */
import { TEACHER } from '@deepfever/models'
import type { ExperimentFile } from '../src/experiment.ts'

const file: ExperimentFile = {
  experiment: {
    network: { kind: 'teacher', ...TEACHER },
    init: 'pretrained',
    epochs: 13,
    batch: { triplets: 64, labelled: 64, unlabelled: 0 },
    heldOut: 0.01,
    unlabelledFraction: 1,
    learningRate: 0.005,
    momentum: 0.9,
    distillation: 'none',
    teachers: [],
    temperature: 1,
    losses: { triplet: 1, crossEntropy: 0.1, rkdDistance: 0, rkdAngle: 0, direct: 0 },
    margins: { ONE_CLASS_TRIPLET: 0.1, TWO_CLASS_TRIPLET: 0.2, THREE_CLASS_TRIPLET: 0.2 },
    flip: true,
    batchNormBatches: 'joint',
    recompute: false,
    seed: 256,
  },
  overlays: {
    smoke: {
      network: {
        trunk: { cut: 'conv2d_4b', width: 0.125 },
        neck: { reduce: 24, layers: 2, growth: 8, bottleneck: 2 },
        embedding: 32,
        dropout: 0,
        size: 70,
      },
      init: 'random',
      epochs: 3,
      heldOut: 0.05,
      batch: { triplets: 4, labelled: 20 },
      learningRate: 0.05,
      losses: { triplet: 0.3, crossEntropy: 1 },
    },
  },
}
export default file
