import { ShapeError } from '@deepfever/core'
import { tf } from '@deepfever/runtime'

import { requireTargets } from './loss.ts'
import type { Loss, LossOptions } from './loss.ts'

/** How vectors are read as distributions. */
export interface DivergenceOptions {
  /** logits are divided by it, the loss multiplied by its square (Hinton et al. 2015) */
  readonly temperature: number
  /** widths of the parts of a row, each a distribution of its own; their sum is the row's width */
  readonly blocks: readonly number[]
}

/**
 * Kullback-Leibler divergence of the student's softmax from the teacher's, an alternative to
 * relational distillation (Hinton et al. 2015).
 *
 * @param student raw outputs, float32 [batch, width]
 * @param teacher targets read as logits, float32 [batch, width]; no gradient flows into it
 * @returns scalar: mean over rows of the sum over blocks, times temperature²
 * @throws ShapeError when the blocks do not fill a row
 */
export function divergence(
  student: tf.Tensor2D,
  teacher: tf.Tensor2D,
  { temperature, blocks }: DivergenceOptions,
): tf.Scalar {
  const width = student.shape[1]
  const filled = blocks.reduce((sum, block) => sum + block, 0)
  if (filled !== width)
    throw new ShapeError(
      `kl-divergence: blocks ${blocks.join(' + ')} are ${filled} wide, expected ${width}, the output's width`,
      { blocks, found: filled, wanted: width },
    )
  const parts = (rows: tf.Tensor2D) => tf.split(tf.div(rows, temperature), [...blocks], 1)
  const teachers = parts(teacher)
  const rows = parts(student).map((part, i) => {
    const wanted = tf.logSoftmax(teachers[i]!)
    return tf.sum(tf.mul(tf.exp(wanted), tf.sub(wanted, tf.logSoftmax(part))), 1)
  })
  return tf.mul(tf.mean(tf.addN(rows)), temperature ** 2)
}

/** `divergence` between the output and the targets of the whole batch. */
export const divergenceLoss = ({
  head,
  weight,
  ...options
}: LossOptions & DivergenceOptions): Loss => ({
  name: 'kl-divergence',
  head,
  weight,
  value: (output, batch) =>
    divergence(output, requireTargets('kl-divergence', output, batch), options),
})
