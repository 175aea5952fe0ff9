import {
  crossEntropyLoss,
  rkdAngleLoss,
  rkdDistanceLoss,
  tripletLoss,
  type Loss,
} from '@deepfever/losses'
import type { Experiment } from './experiment.ts'

/** The losses of an experiment with their weights and the heads they read. */
export const lossesOf = ({ losses }: Pick<Experiment, 'losses'>): Loss[] => [
  tripletLoss({ head: 'fec', weight: losses.triplet }),
  crossEntropyLoss({ head: 'affectnet', weight: losses.crossEntropy }),
  rkdDistanceLoss({ head: 'distill', weight: losses.rkdDistance }),
  rkdAngleLoss({ head: 'distill', weight: losses.rkdAngle }),
]
