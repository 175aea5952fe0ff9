import { openRandom, UsageError } from '@deepfever/core'
import { decodeCrop, mirror } from '@deepfever/media'
import { dropoutMask, toNetwork } from '@deepfever/models'
import type { Crop, CropTriplet, TargetOf } from './crops.ts'
import type { Experiment } from './experiment.ts'
import { isFlipped, openOrder } from './order.ts'
import type { TrainingBatch } from './trainer.ts'

/** The training data of a run. */
export interface TrainingData {
  readonly triplets: readonly CropTriplet[]
  readonly labelled: readonly Crop[]
  readonly unlabelled: readonly Crop[]
  readonly targetOf: TargetOf | undefined
}

/** A batch with the names of its rows. */
export interface NamedBatch extends TrainingBatch {
  readonly faceIds: readonly string[]
}

/** Steps in an epoch: full batches of triplets, at least one. */
export const stepsPerEpoch = (data: TrainingData, { batch }: Experiment): number =>
  Math.max(1, Math.floor(data.triplets.length / batch.triplets))

/**
 * Batches by step. What is in a batch, and which faces are mirrored, is a function of the seed and
 * the step alone.
 */
export function openBatches(
  data: TrainingData,
  experiment: Experiment,
): (step: number) => Promise<NamedBatch> {
  const { batch, seed, flip, margins, network: specification } = experiment
  const { normalisation } = toNetwork(specification)
  const { size, embedding, dropout } = specification
  const orders = {
    triplets: openOrder(`${seed}/triplets`, data.triplets.length),
    labelled: openOrder(`${seed}/labelled`, data.labelled.length),
    unlabelled: openOrder(`${seed}/unlabelled`, data.unlabelled.length),
  }
  const perEpoch = stepsPerEpoch(data, experiment)
  const passLength = data.triplets.length

  /** The epoch drops the triplets that do not fill a batch, so its passes stay aligned. */
  const tripletAt = (step: number, i: number): CropTriplet => {
    const pass = Math.floor(step / perEpoch)
    const n = pass * passLength + (((step % perEpoch) * batch.triplets + i) % passLength)
    return data.triplets[orders.triplets(n)]!
  }
  const take = (name: 'labelled' | 'unlabelled', step: number): Crop[] =>
    Array.from({ length: batch[name] }, (_, i) => data[name][orders[name](step * batch[name] + i)]!)

  return async step => {
    const triplets = Array.from({ length: batch.triplets }, (_, i) => tripletAt(step, i))
    const labelled = take('labelled', step)
    const unlabelled = take('unlabelled', step)
    const crops = [...triplets.flatMap(triplet => triplet.crops), ...labelled, ...unlabelled]
    const flips = crops.map((_, i) => flip && isFlipped(`${seed}`, step * crops.length + i))
    const pixels = 3 * size * size
    const images = new Float32Array(crops.length * pixels)
    await Promise.all(
      crops.map(async ({ jpeg }, row) => {
        const decoded = await decodeCrop(jpeg, size)
        const { data: rgb } = flips[row] ? mirror(decoded) : decoded
        for (let i = 0, at = row * pixels; i < pixels; i++, at++)
          images[at] = (rgb[i]! - normalisation.mean[i % 3]!) / normalisation.std[i % 3]!
      }),
    )
    const random = openRandom(`${seed}/dropout/${step}`)
    const uniform = Float32Array.from({ length: crops.length * embedding }, () => random.next())
    return {
      faceIds: crops.map(crop => crop.faceId),
      images,
      size,
      odd: triplets.map(triplet => triplet.odd),
      margin: triplets.map(({ kind }) => marginOf(margins, kind)),
      labels: labelled.map(crop => crop.label),
      mask: dropoutMask(uniform, dropout),
      ...(data.targetOf && { targets: toRows(crops, flips, data.targetOf) }),
    }
  }
}

function marginOf(margins: Experiment['margins'], kind: string): number {
  const margin = margins[kind]
  if (margin !== undefined) return margin
  throw new UsageError(
    `triplets of kind ${kind} have no margin; the experiment has ${Object.keys(margins).join(', ')}`,
    { found: kind, wanted: Object.keys(margins) },
  )
}

function toRows(crops: readonly Crop[], flips: readonly boolean[], targetOf: TargetOf): Float32Array {
  const rows = crops.map(({ faceId }, i) => targetOf(faceId, flips[i]!))
  const width = rows[0]?.length ?? 0
  const flat = new Float32Array(rows.length * width)
  rows.forEach((row, i) => flat.set(row, i * width))
  return flat
}
