import { tf } from '@deepfever/runtime'

const SHORTEST = 1e-12

/**
 * Vectors along the last axis divided by max(norm, 1e-12), as torch's F.normalize: a zero vector
 * stays zero, and the norm's gradient there is zero.
 */
export function normalised<T extends tf.Tensor>(vectors: T): T {
  const squares = tf.sum(tf.square(vectors), -1, true)
  return tf.div(vectors, tf.sqrt(tf.maximum(squares, SHORTEST ** 2)))
}
