import { openRandom, UsageError } from '@deepfever/core'
import type { Picture } from '@deepfever/media'
import { toNetwork, type Normalisation } from '@deepfever/models'
import { dropoutMask } from '@deepfever/models/tfjs'
import type { Crop, CropTriplet, TargetOf } from './crops.ts'
import { openDecoder } from './decoded-crops.ts'
import type { Experiment } from './experiment.ts'
import { isFlipped, openOrder } from './order.ts'
import type { TrainingBatch } from './batch-feeds.ts'
import type { TrainingData } from './training-data.ts'

/** A batch with the names of its rows. */
export interface NamedBatch extends TrainingBatch {
  readonly faceIds: readonly string[]
}

/** Steps in an epoch: full batches of triplets, at least one. */
export const stepsPerEpoch = (data: TrainingData, { batch }: Experiment): number =>
  Math.max(1, Math.floor(data.triplets.length / batch.triplets))

/** Where the streams stand before `step`: passes begun, and position in the present one. */
export function cursorsAt(step: number, data: TrainingData, experiment: Experiment) {
  const perEpoch = stepsPerEpoch(data, experiment)
  const { triplets, ...looping } = experiment.batch
  const cursorOf = (taken: number, length: number) =>
    length > 0 ? { pass: Math.floor(taken / length), at: taken % length } : { pass: 0, at: 0 }
  return {
    triplets: { pass: Math.floor(step / perEpoch), at: (step % perEpoch) * triplets },
    labelled: cursorOf(step * looping.labelled, data.labelled.length),
    unlabelled: cursorOf(step * looping.unlabelled, data.unlabelled.length),
  }
}

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
  const decode = openDecoder(size)
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
    const pictures = await Promise.all(crops.map(decode))
    pictures.forEach((picture, row) =>
      putPixels(images, row * pixels, picture, flips[row]!, normalisation),
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

/** One picture as the network's input, mirrored if so wanted. */
function putPixels(
  images: Float32Array,
  at: number,
  { data, width, height }: Picture,
  mirrored: boolean,
  { mean, std }: Normalisation,
): void {
  for (let y = 0; y < height; y++)
    for (let x = 0; x < width; x++) {
      const from = 3 * (y * width + (mirrored ? width - 1 - x : x))
      for (let c = 0; c < 3; c++) images[at++] = (data[from + c]! - mean[c]!) / std[c]!
    }
}

function toRows(
  crops: readonly Crop[],
  flips: readonly boolean[],
  targetOf: TargetOf,
): Float32Array {
  const rows = crops.map(({ faceId }, i) => targetOf(faceId, flips[i]!))
  const width = rows[0]?.length ?? 0
  const flat = new Float32Array(rows.length * width)
  rows.forEach((row, i) => flat.set(row, i * width))
  return flat
}
