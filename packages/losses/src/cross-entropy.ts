import { ShapeError } from '@deepfever/core'
import { tf } from '@deepfever/runtime'

import type { Loss, LossOptions } from './loss.ts'

/**
 * Softmax cross-entropy, unweighted.
 *
 * @param logits float32 [n, classes]
 * @param labels class numbers, int32 [n]
 * @returns scalar: mean over rows
 * @throws ShapeError when rows and labels differ in number
 */
export function crossEntropy(logits: tf.Tensor2D, labels: tf.Tensor1D): tf.Scalar {
  const [rows, classes] = logits.shape
  if (labels.shape[0] !== rows)
    throw new ShapeError(`cross-entropy: ${labels.shape[0]} labels for ${rows} rows of logits`, {
      rows,
      labels: labels.shape[0],
    })
  // A one-hot product: the gradient of a gather needs a kernel that WebAssembly lacks.
  const chosen = tf.mul(tf.logSoftmax(logits), tf.oneHot(labels, classes))
  return tf.neg(tf.mean<tf.Scalar>(tf.sum(chosen, 1)))
}

/** `crossEntropy` on the batch's labelled rows, which follow the triplets'. */
export const crossEntropyLoss = ({ head, weight }: LossOptions): Loss => ({
  name: 'cross-entropy',
  head,
  weight,
  value: (output, { margin, labels }) =>
    crossEntropy(
      tf.slice(output, [3 * margin.shape[0], 0], [labels.shape[0], output.shape[1]]),
      labels,
    ),
})
