import { StageError } from '@deepfever/core'
import type { StateDict } from '@deepfever/formats'

const standing = (saved: number | undefined): string =>
  saved === undefined ? '' : `; the checkpoint of step ${saved} stands`

/** @throws StageError naming step, part and faces of a loss that is no number */
export function requireFiniteLosses(
  step: number,
  losses: Readonly<Record<string, number>>,
  faceIds: readonly string[],
  saved: number | undefined,
): void {
  const bad = Object.entries(losses).find(([, value]) => !Number.isFinite(value))
  if (!bad) return
  const [part, value] = bad
  throw new StageError(
    `step ${step}: the loss ${part} is ${value}; lower the learning rate or look at the faces named` +
      standing(saved),
    { step, part, faceIds },
  )
}

/**
 * A kernel may turn what is no number into 0 on its way to the loss; the weights still show it.
 *
 * @param step steps done
 * @throws StageError naming step and tensor
 */
export function requireFiniteWeights(
  step: number,
  weights: StateDict,
  saved: number | undefined,
): void {
  for (const [part, { values }] of weights)
    if (!(values as Float32Array).every(Number.isFinite))
      throw new StageError(
        `step ${step - 1}: ${part} holds no numbers any more; lower the learning rate` +
          standing(saved),
        { step: step - 1, part },
      )
}
