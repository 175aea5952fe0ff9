import { tf } from '@deepfever/runtime'

/** What stochastic gradient descent keeps for a parameter. */
export interface Momentum {
  readonly parameter: tf.Tensor
  readonly velocity: tf.Tensor
}

/**
 * One update by Nesterov momentum in torch's convention: v = momentum v + g, then
 * p = p - rate (g + momentum v). The rate is not part of v, so it may change between steps.
 *
 * @param rate learning rate, a scalar tensor
 */
export function nesterov(
  { parameter, velocity }: Momentum,
  gradient: tf.Tensor,
  rate: tf.Scalar,
  momentum: number,
): Momentum {
  const next = tf.add(tf.mul(velocity, momentum), gradient)
  const step = tf.add(gradient, tf.mul(next, momentum))
  return { parameter: tf.sub(parameter, tf.mul(step, rate)), velocity: next }
}
