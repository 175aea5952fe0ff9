import { ShapeError } from '@deepfever/core'
import type { tf } from '@deepfever/runtime'

/**
 * What a batch knows about its images. Its rows are, in order: three for every triplet, one for
 * every labelled face, and faces with neither.
 */
export interface LossBatch {
  /** which image of a triplet differs, one-hot float32 [triplets, 3] */
  readonly odd: tf.Tensor2D
  /** float32 [triplets] */
  readonly margin: tf.Tensor1D
  /** class numbers, int32 [labelled] */
  readonly labels: tf.Tensor1D
  /** teachers' vectors for every row, float32 [rows, width]; only distillation reads them */
  readonly targets?: tf.Tensor2D
}

/** A loss on one output of a network; a training step sums several by their weights. */
export interface Loss {
  readonly name: string
  readonly weight: number
  /** the network's output that it reads */
  readonly head: string
  /** scalar, not yet weighted; `output` holds every row of the batch, float32 [rows, width] */
  value(output: tf.Tensor2D, batch: LossBatch): tf.Scalar
}

/** Where a loss reads and how much it counts. */
export interface LossOptions {
  readonly head: string
  readonly weight: number
}

/**
 * The targets of a batch, for a loss that cannot do without.
 *
 * @throws ShapeError when there are none or their shape is not that of `output`
 */
export function requireTargets(loss: string, output: tf.Tensor2D, batch: LossBatch): tf.Tensor2D {
  const { targets } = batch
  const found = targets?.shape
  if (targets === undefined || found?.[0] !== output.shape[0] || found[1] !== output.shape[1])
    throw new ShapeError(
      `${loss}: targets are ${found ? `[${found}]` : 'missing'}, expected [${output.shape}], one row an image; check the distillation head's width and the targets artifact`,
      { loss, found, wanted: output.shape },
    )
  return targets
}
