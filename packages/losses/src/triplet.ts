import { ShapeError } from '@deepfever/core'
import { tf } from '@deepfever/runtime'

import type { Loss, LossOptions } from './loss.ts'
import { normalised } from './vector.ts'

/**
 * Double triplet hinge on the unit sphere (Vemulapalli and Agarwala 2019): for the similar pair
 * (a, b) and the odd one c, max(0, |ab|² - |ac|² + m) + max(0, |ab|² - |bc|² + m).
 *
 * @param vectors float32 [3 n, width], rows grouped by triplet; normalised here
 * @param odd one-hot of the odd image, float32 [n, 3]
 * @param margin float32 [n]
 * @returns scalar: mean over triplets
 * @throws ShapeError when the rows are not three a triplet
 */
export function triplet(vectors: tf.Tensor2D, odd: tf.Tensor2D, margin: tf.Tensor1D): tf.Scalar {
  const count = margin.shape[0]
  const [rows, width] = vectors.shape
  if (rows !== 3 * count || odd.shape[0] !== count)
    throw new ShapeError(
      `triplet: ${rows} rows and ${odd.shape[0]} odd ones for ${count} margins, expected ${3 * count} and ${count}`,
      { rows, odd: odd.shape, margins: count },
    )
  const grouped = tf.reshape(normalised(vectors), [count, 3, width])
  const [first, second, third] = tf.unstack(grouped, 1) as [tf.Tensor2D, tf.Tensor2D, tf.Tensor2D]
  // Column j: the squared distance of the pair that lacks image j.
  const without = tf.concat(
    [squaredDistance(second, third), squaredDistance(first, third), squaredDistance(first, second)],
    1,
  )
  const near = tf.sum(tf.mul(without, odd), 1, true)
  const hinges = tf.relu(tf.add(tf.sub(near, without), tf.reshape(margin, [count, 1])))
  return tf.mean(tf.sum(tf.mul(hinges, tf.sub(1, odd)), 1))
}

/** `triplet` on the batch's first rows, three a triplet. */
export const tripletLoss = ({ head, weight }: LossOptions): Loss => ({
  name: 'triplet',
  head,
  weight,
  value: (output, { odd, margin }) =>
    triplet(tf.slice(output, 0, [3 * margin.shape[0], output.shape[1]]), odd, margin),
})

const squaredDistance = (a: tf.Tensor2D, b: tf.Tensor2D): tf.Tensor2D =>
  tf.sum(tf.square(tf.sub(a, b)), 1, true)
