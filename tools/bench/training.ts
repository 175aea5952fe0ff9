import { seedOf, uniforms, wordAt } from '@deepfever/core'
import { crossEntropyLoss, rkdAngleLoss, rkdDistanceLoss, tripletLoss } from '@deepfever/losses'
import { formulaWeights, studentNetwork, teacherNetwork } from '@deepfever/models'
import type { Network } from '@deepfever/models'
import type { TrainingBatch } from '../../packages/train/src/batch-feeds.ts'

const SIZE = 140
/** Learning rate of a measured step. */
export const RATE = 0.005
/** The paper's proportions: triplets and labelled faces; the rest has neither. */
const STUDENT_ROWS: Readonly<Record<number, readonly [number, number]>> = {
  8: [2, 1],
  32: [8, 4],
  140: [36, 16],
}

/** A network with losses and start, and a batch of it, as the peers draw them from the same names. */
export function drawTraining(kind: string, rows: number) {
  const student = kind === 'student'
  const quarter = Math.floor(rows / 4)
  const [triplets, labelled] = (student && STUDENT_ROWS[rows]) || [quarter, rows - 3 * quarter]
  const network = student ? studentNetwork() : teacherNetwork()
  const distilled = [
    rkdDistanceLoss({ head: 'distill', weight: 25 }),
    rkdAngleLoss({ head: 'distill', weight: 50 }),
  ]
  const options = {
    network,
    losses: [
      tripletLoss({ head: 'fec', weight: 1 }),
      crossEntropyLoss({ head: 'affectnet', weight: 0.1 }),
      ...(student ? distilled : []),
    ],
    momentum: 0.9,
    weights: formulaWeights(network, `${kind}.`),
  }
  return { options, triplets, labelled, batch: drawBatch(network, rows, triplets, labelled) }
}

/** The images, labels and targets that the peer draws from the same names. */
function drawBatch(
  { normalisation: { mean, std } }: Network,
  rows: number,
  triplets: number,
  labelled: number,
): TrainingBatch {
  const seed = seedOf('bench')
  const images = Float32Array.from(
    { length: rows * SIZE * SIZE * 3 },
    (_, i) => ((wordAt(seed, i) & 255) - mean[i % 3]!) / std[i % 3]!,
  )
  return {
    images,
    size: SIZE,
    odd: Array.from({ length: triplets }, (_, i) => i % 3),
    margin: new Array<number>(triplets).fill(0.2),
    labels: Array.from({ length: labelled }, (_, i) => i % 8),
    targets: Float32Array.from(uniforms('bench-targets', rows * 80)),
  }
}
