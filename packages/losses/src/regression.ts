import { tf } from '@deepfever/runtime'

import { requireTargets } from './loss.ts'
import type { Loss, LossOptions } from './loss.ts'
import { smoothL1 } from './smooth-l1.ts'

/** The function of the difference to the target: Huber's with threshold 1, or the square. */
export type RegressionKind = 'smooth-l1' | 'mean-squared'

/**
 * Distance of a row to its own target, an alternative to relational distillation: it fixes the
 * vectors themselves, not only how they lie to each other.
 *
 * @param student raw outputs, float32 [batch, width]
 * @param teacher targets, float32 [batch, width]; no gradient flows into it
 * @returns scalar: mean over all batch × width entries
 */
export function regression(
  student: tf.Tensor2D,
  teacher: tf.Tensor2D,
  kind: RegressionKind,
): tf.Scalar {
  const difference = tf.sub(student, teacher)
  return tf.mean(kind === 'smooth-l1' ? smoothL1(difference) : tf.square(difference))
}

/** `regression` between the output and the targets of the whole batch. */
export const regressionLoss = ({
  head,
  weight,
  kind,
}: LossOptions & { readonly kind: RegressionKind }): Loss => ({
  name: kind,
  head,
  weight,
  value: (output, batch) => regression(output, requireTargets(kind, output, batch), kind),
})
