import { mapOrdered, openRandom } from '@deepfever/core'
import { toNetwork } from '@deepfever/models'
import { dropoutMask } from '@deepfever/models/tfjs'
import { openPool } from '@deepfever/runtime/onnx'
import type { LoadJob, WantedCrop } from './crop-loading.ts'
import type { Experiment } from './experiment.ts'
import { isFlipped, openOrder } from './order.ts'
import type { TrainingBatch } from './batch-feeds.ts'
import type { TrainingData } from './training-data.ts'

/** A batch with the names of its rows. */
export interface NamedBatch extends TrainingBatch {
  readonly faceIds: readonly string[]
}

const FLOAT_BYTES = 4

/** The batches of a run; threads decode them ahead of the step. */
export interface Batches {
  /**
   * Batches from `first` up to, not including, `end`, in order; the images of one are overwritten
   * once the next is asked for.
   */
  from(first: number, end: number): AsyncGenerator<NamedBatch>
  /** Normalised pictures of faces, as they are. */
  load(rows: readonly number[]): Promise<Float32Array>
  close(): Promise<void>
}

/** Steps in an epoch: full batches of triplets, at least one. */
export const stepsPerEpoch = ({ triplets }: TrainingData, { batch }: Experiment): number =>
  Math.max(1, Math.floor(triplets.length / batch.triplets))

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

/** What a batch holds, before any picture is read. */
export interface BatchPlan {
  /** rows of the face table: three a triplet, then labelled faces, then unlabelled ones */
  readonly rows: readonly number[]
  readonly flips: readonly boolean[]
  /** numbers of its triplets */
  readonly triplets: readonly number[]
}

/**
 * Plans by step. What is in a batch, and which faces are mirrored, is a function of the seed and
 * the step alone: of no worker, no checkpoint and no batch before.
 */
export function openPlan(data: TrainingData, experiment: Experiment): (step: number) => BatchPlan {
  const { batch, seed, flip } = experiment
  const orders = {
    triplets: openOrder(`${seed}/triplets`, data.triplets.length),
    labelled: openOrder(`${seed}/labelled`, data.labelled.length),
    unlabelled: openOrder(`${seed}/unlabelled`, data.unlabelled.length),
  }
  const perEpoch = stepsPerEpoch(data, experiment)
  const passLength = data.triplets.length
  /** The epoch drops the triplets that do not fill a batch, so its passes stay aligned. */
  const tripletAt = (step: number, i: number): number => {
    const pass = Math.floor(step / perEpoch)
    const at = ((step % perEpoch) * batch.triplets + i) % passLength
    return orders.triplets(pass * passLength + at)
  }
  const take = (name: 'labelled' | 'unlabelled', step: number): number[] =>
    Array.from({ length: batch[name] }, (_, i) => data[name][orders[name](step * batch[name] + i)]!)
  return step => {
    const triplets = Array.from({ length: batch.triplets }, (_, i) => tripletAt(step, i))
    const rows = [
      ...triplets.flatMap(index => data.triplets.rowsOf(index)),
      ...take('labelled', step),
      ...take('unlabelled', step),
    ]
    const flips = rows.map((_, i) => flip && isFlipped(`${seed}`, step * rows.length + i))
    return { rows, flips, triplets }
  }
}

/**
 * Opens the batches of a run; `workers` threads change nothing but the time, and neither does the
 * JPEG decoder of a native backend's `addon`.
 */
export function openBatches(
  data: TrainingData,
  experiment: Experiment,
  { workers, addon }: { readonly workers: number; readonly addon?: string | undefined },
): Batches {
  const { batch, seed, network: specification } = experiment
  const { normalisation } = toNetwork(specification)
  const { size: side, embedding, dropout } = specification
  const { faces, targets } = data
  const planOf = openPlan(data, experiment)
  const work = new URL('crop-loading.ts', import.meta.url)
  const pool = openPool<LoadJob, undefined>({}, { workers, work })
  const imagesOf = (rows: number) => new SharedArrayBuffer(FLOAT_BYTES * rows * 3 * side * side)
  // Fresh memory costs a third of a picture's time, page by page.
  const free: SharedArrayBuffer[] = []

  const cropsOf = (rows: readonly number[], flips: readonly boolean[]): WantedCrop[] =>
    rows.map((row, i) => ({
      ...faces.placeOf(row),
      faceId: faces.idOf(row),
      flipped: flips[i] ?? false,
    }))
  const batchOf = async (step: number): Promise<NamedBatch> => {
    const { rows, flips, triplets } = planOf(step)
    const images = free.pop() ?? imagesOf(rows.length)
    const own = targets && {
      ...{ path: targets.path, width: targets.width },
      offsets: rows.map((row, i) => targets.offsetOf(row, flips[i]!)),
      rows: new SharedArrayBuffer(FLOAT_BYTES * targets.width * rows.length),
    }
    const crops = cropsOf(rows, flips)
    await pool.run({ crops, side, normalisation, images, addon, ...(own && { targets: own }) })
    const random = openRandom(`${seed}/dropout/${step}`)
    const uniform = Float32Array.from({ length: rows.length * embedding }, () => random.next())
    const labelled = rows.slice(3 * batch.triplets, 3 * batch.triplets + batch.labelled)
    return {
      images: new Float32Array(images),
      ...(own && { targets: new Float32Array(own.rows) }),
      faceIds: rows.map(faces.idOf),
      size: side,
      odd: triplets.map(data.triplets.oddOf),
      margin: triplets.map(data.triplets.marginOf),
      labels: labelled.map(faces.labelOf),
      mask: dropoutMask(uniform, dropout),
    }
  }
  async function* steps(first: number, end: number) {
    for (let step = first; step < end; step++) yield await Promise.resolve(step)
  }
  return {
    async *from(first, end) {
      // One more than threads, so that none waits while a batch is taken.
      for await (const named of mapOrdered(steps(first, end), workers + 1, batchOf)) {
        yield named
        free.push(named.images.buffer as SharedArrayBuffer)
      }
    },
    async load(rows) {
      const images = imagesOf(rows.length)
      await pool.run({ crops: cropsOf(rows, []), side, normalisation, images, addon })
      return new Float32Array(images)
    },
    close: () => pool.close(),
  }
}
