import { ShapeError } from '@deepfever/core'
import {
  crossEntropyLoss,
  divergenceLoss,
  regressionLoss,
  rkdAngleLoss,
  rkdDistanceLoss,
  tripletLoss,
  type Loss,
} from '@deepfever/losses'
import type { Experiment } from './experiment.ts'

/**
 * The losses of an experiment with their weights and the heads they read.
 *
 * @param blocks widths of the targets' blocks, in order
 * @throws ShapeError when the distillation head is not as wide as they are
 */
export function lossesOf(experiment: Experiment, blocks: readonly number[] | undefined): Loss[] {
  const { losses, network } = experiment
  const width = blocks?.reduce((sum, block) => sum + block, 0)
  const head = network.heads.distill
  if (width !== undefined && width !== head)
    throw new ShapeError(
      `targets are ${width} wide (${blocks?.join(' + ')}), the distillation head ${head ?? 0}; ` +
        `set it with: --set=network.heads.distill=${width}`,
      { found: width, wanted: head },
    )
  return [
    tripletLoss({ head: 'fec', weight: losses.triplet }),
    crossEntropyLoss({ head: 'affectnet', weight: losses.crossEntropy }),
    ...distillationOf(experiment, blocks ?? []),
  ]
}

function distillationOf(
  { losses, distillation, temperature }: Experiment,
  blocks: readonly number[],
): Loss[] {
  const direct = { head: 'distill', weight: losses.direct }
  switch (distillation) {
    case 'none':
      return []
    case 'relational':
      return [
        rkdDistanceLoss({ head: 'distill', weight: losses.rkdDistance }),
        rkdAngleLoss({ head: 'distill', weight: losses.rkdAngle }),
      ]
    case 'kl-divergence':
      return [divergenceLoss({ ...direct, temperature, blocks })]
    default:
      return [regressionLoss({ ...direct, kind: distillation })]
  }
}
