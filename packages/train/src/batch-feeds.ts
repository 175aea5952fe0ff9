import { ShapeError } from '@deepfever/core'
import type { Network } from '@deepfever/models'

/** A batch as plain numbers. Rows: three a triplet, then labelled faces, then faces with neither. */
export interface TrainingBatch {
  /** normalised, [rows, size, size, 3] */
  readonly images: Float32Array
  /** side of the square images in pixels */
  readonly size: number
  /** which image of each triplet differs, 0..2 */
  readonly odd: readonly number[]
  /** of each triplet */
  readonly margin: readonly number[]
  /** class number of each labelled face */
  readonly labels: readonly number[]
  /** teachers' vectors, [rows, width]; only distillation reads them */
  readonly targets?: Float32Array
  /** dropout's factors, 0 or 1 / (1 - rate), [rows, embedding]; no dropout when absent */
  readonly mask?: Float32Array
}

/** One input of a step, ready to be fed. */
export interface Feed {
  readonly shape: readonly number[]
  readonly dtype: 'float32' | 'int32'
  readonly values: Float32Array | Int32Array
}

/**
 * A batch and its learning rate as the inputs of a step.
 *
 * @throws ShapeError when the values are not whole images
 */
export function toFeeds(
  { name }: Network,
  batch: TrainingBatch,
  learningRate: number,
): Record<string, Feed> {
  const { images, size, odd, margin, labels, targets, mask } = batch
  const rows = images.length / (3 * size * size)
  if (!Number.isInteger(rows))
    throw new ShapeError(
      `${name}: ${images.length} image values are not whole images of ${size} x ${size} x 3`,
      { found: images.length, wanted: 3 * size * size },
    )
  const oneHot = new Float32Array(3 * odd.length)
  odd.forEach((image, triplet) => (oneHot[3 * triplet + image] = 1))
  const floats = (shape: readonly number[], values: Float32Array): Feed => ({
    shape,
    dtype: 'float32',
    values,
  })
  return {
    images: floats([rows, size, size, 3], images),
    odd: floats([odd.length, 3], oneHot),
    margin: floats([margin.length], Float32Array.from(margin)),
    labels: { shape: [labels.length], dtype: 'int32', values: Int32Array.from(labels) },
    learningRate: floats([], Float32Array.of(learningRate)),
    ...(targets && { targets: floats([rows, targets.length / rows], targets) }),
    ...(mask && { mask: floats([rows, mask.length / rows], mask) }),
  }
}
