import { tf } from '@deepfever/runtime'

/**
 * Huber's function with threshold 1, element by element: d² / 2 below it, |d| - 1/2 above.
 *
 * Written with `minimum`: gradients through `where` fail on the portable backend.
 */
export const smoothL1 = <T extends tf.Tensor>(difference: T): T =>
  tf.customGrad((d, save) => {
    const size = tf.abs(d as tf.Tensor)
    const near = tf.minimum(size, 1)
    ;(save as tf.GradSaveFunc)([d as tf.Tensor])
    return {
      value: tf.add(tf.mul(tf.square(near), 0.5), tf.sub(size, near)),
      gradFunc: (dy: tf.Tensor, saved: tf.Tensor[]) => tf.mul(dy, tf.clipByValue(saved[0]!, -1, 1)),
    }
  })(difference) as T
