/**
 * The student (paper II-B, III-B): FEC, AffectNet and unlabelled faces, with both teachers'
 * targets; 18 epochs.
 *
 *   npx nx run train:student
 *   expected: RAF probe 87.4, AffectNet probe 61.6 / 65.4, FEC 86.5 (paper, Tables I-III); not run here
 */
import { STUDENT } from '@deepfever/models'
import type { ExperimentFile } from '../src/experiment.ts'

const file: ExperimentFile = {
  experiment: {
    network: { kind: 'student', ...STUDENT },
    init: 'pretrained',
    epochs: 18,
    batch: { triplets: 36, labelled: 16, unlabelled: 16 },
    heldOut: 0.01,
    unlabelledFraction: 1,
    learningRate: 0.005,
    momentum: 0.9,
    distillation: 'relational',
    teachers: [0, 1],
    temperature: 1,
    losses: { triplet: 1, crossEntropy: 0.1, rkdDistance: 25, rkdAngle: 50, direct: 1 },
    margins: { ONE_CLASS_TRIPLET: 0.1, TWO_CLASS_TRIPLET: 0.2, THREE_CLASS_TRIPLET: 0.2 },
    flip: true,
    batchNormBatches: 'joint',
    recompute: true,
    seed: 1,
  },
  overlays: {
    smoke: {
      network: {
        backbone: { growth: 8, blocks: [2, 2], stem: 12, bottleneck: 2 },
        embedding: 32,
        dropout: 0,
        size: 70,
      },
      init: 'random',
      epochs: 3,
      heldOut: 0.05,
      batch: { triplets: 3, labelled: 20, unlabelled: 3 },
      learningRate: 0.05,
      losses: { triplet: 0.3, crossEntropy: 1, rkdDistance: 1, rkdAngle: 2 },
    },
  },
}
export default file
