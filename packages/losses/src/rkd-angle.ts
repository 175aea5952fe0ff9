import { tf } from '@deepfever/runtime'

import { requireTargets } from './loss.ts'
import type { Loss, LossOptions } from './loss.ts'
import { smoothL1 } from './smooth-l1.ts'
import { normalised } from './vector.ts'

/**
 * Angle-wise relational distillation (Park et al. 2019, eq. 8): the cosines of all angles that
 * two vectors form at a third, compared by Huber's function.
 *
 * @param student raw outputs, float32 [batch, width]
 * @param teacher targets, float32 [batch, width]; no gradient flows into it
 * @returns scalar: mean over all batch³ cosines, those of coinciding vectors (zero) included
 */
export function rkdAngle(student: tf.Tensor2D, teacher: tf.Tensor2D): tf.Scalar {
  const distance = smoothL1(tf.sub(cosines(student), cosines(teacher)))
  // Axis by axis: one float32 sum over batch³ values is off by 2e-3 at batch 140.
  return tf.mean(tf.mean(tf.mean(distance, 2), 1))
}

/** `rkdAngle` between the output and the targets of the whole batch. */
export const rkdAngleLoss = ({ head, weight }: LossOptions): Loss => ({
  name: 'rkd-angle',
  head,
  weight,
  value: (output, batch) => rkdAngle(output, requireTargets('rkd-angle', output, batch)),
})

// [i][j][k]: the cosine at vector i between the directions to j and to k.
function cosines(vectors: tf.Tensor2D): tf.Tensor3D {
  const [count, width] = vectors.shape
  const ends = tf.reshape(vectors, [1, count, width])
  const corners = tf.reshape(vectors, [count, 1, width])
  const directions = normalised(tf.sub(ends, corners) as tf.Tensor3D)
  return tf.matMul(directions, directions, false, true)
}
