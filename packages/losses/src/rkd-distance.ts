import { tf } from '@deepfever/runtime'

import { requireTargets } from './loss.ts'
import type { Loss, LossOptions } from './loss.ts'
import { smoothL1 } from './smooth-l1.ts'

const NEAREST = 1e-12

/**
 * Distance-wise relational distillation (Park et al. 2019, eq. 5): Euclidean distances of all
 * pairs, divided by their mean, compared by Huber's function.
 *
 * @param student raw outputs, float32 [batch, width]
 * @param teacher targets, float32 [batch, width]; no gradient flows into it
 * @returns scalar: mean over all batch² entries, the zero diagonal included
 */
export function rkdDistance(student: tf.Tensor2D, teacher: tf.Tensor2D): tf.Scalar {
  return tf.mean(smoothL1(tf.sub(relativeDistances(student), relativeDistances(teacher))))
}

/** `rkdDistance` between the output and the targets of the whole batch. */
export const rkdDistanceLoss = ({ head, weight }: LossOptions): Loss => ({
  name: 'rkd-distance',
  head,
  weight,
  value: (output, batch) => rkdDistance(output, requireTargets('rkd-distance', output, batch)),
})

// By the Gram matrix with the reference's floor of 1e-6. The squares come from its diagonal, so that
// equal rows are exactly 0 apart and not 7e-4, which is float32's rounding of 4 + 4 - 8.
function relativeDistances(vectors: tf.Tensor2D): tf.Tensor2D {
  const count = vectors.shape[0]
  // Not tf.eye, which writes its numbers in JavaScript.
  const diagonal = tf.cast(tf.oneHot(tf.range(0, count, 1, 'int32'), count), 'float32')
  const products = tf.matMul(vectors, vectors, false, true)
  const squares = tf.sum(tf.mul(products, diagonal), 1, true)
  const squared = tf.sub(tf.add(squares, tf.transpose(squares)), tf.mul(products, 2))
  const distances = tf.mul(tf.sqrt(tf.maximum(squared, NEAREST)), tf.sub(1, diagonal))
  return tf.div(distances, tf.div(tf.sum(distances), count * (count - 1)))
}
