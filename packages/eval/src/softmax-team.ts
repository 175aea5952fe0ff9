import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import { ShapeError, StageError } from '@deepfever/core'
import { openSoftmaxLoss, type LabelledFeatures, type SoftmaxLoss } from './softmax-loss.ts'

/** Places in the control words that the threads of a team share. */
const ROUND = 0
const NEXT_CHUNK = 1
const DONE_CHUNKS = 2
const FAILED = 3
const CONTROL_WORDS = 4
const CLOSED = -1

/** Memory that the threads of a team share; all of it over SharedArrayBuffers. */
export interface TeamMemory {
  readonly data: LabelledFeatures
  readonly classWeights: Float64Array
  readonly control: Int32Array
  readonly parameters: Float64Array
  /** float64 [chunks, sumsLength] */
  readonly sums: Float64Array
}

/** Threads that sum the loss of a probe. */
export interface LossTeam {
  /** Writes gradient sums and loss at `parameters` into `total`; blocks until all chunks are in. */
  sum(parameters: Float64Array, total: Float64Array): void
  close(): Promise<void>
}

/**
 * Starts a team; the calling thread is one of its members. Chunks go to whoever is free and are
 * added in their own order, so the result does not depend on `threads`.
 *
 * @throws ShapeError when the features' memory is not shared
 */
export async function openLossTeam(
  data: LabelledFeatures,
  classWeights: Float64Array,
  threads: number,
): Promise<LossTeam> {
  const { features, labels, width } = data
  if (!(features.buffer instanceof SharedArrayBuffer)) {
    throw new ShapeError(
      `${features.length} features lie in memory of one thread, expected a SharedArrayBuffer; ` +
        'allocate them there or fit with one thread',
      { found: 'ArrayBuffer', wanted: 'SharedArrayBuffer' },
    )
  }
  const loss = openSoftmaxLoss(data, classWeights)
  const memory: TeamMemory = {
    data: { features, width, labels: new Int32Array(shared(labels.length * 4)) },
    classWeights,
    control: new Int32Array(shared(CONTROL_WORDS * 4)),
    parameters: new Float64Array(shared((loss.sumsLength - 1) * 8)),
    sums: new Float64Array(shared(loss.chunks * loss.sumsLength * 8)),
  }
  memory.data.labels.set(labels)
  const { control, parameters, sums } = memory
  const helpers = Array.from(
    { length: Math.min(threads, loss.chunks) - 1 },
    () =>
      new Worker(new URL('softmax-worker.mjs', import.meta.url), {
        workerData: memory,
        execArgv: [],
      }),
  )
  const close = async () => {
    Atomics.store(control, ROUND, CLOSED)
    Atomics.notify(control, ROUND)
    await Promise.all(helpers.map(helper => helper.terminate()))
  }
  try {
    await Promise.all(helpers.map(helper => once(helper, 'message')))
  } catch (thrown) {
    await close()
    throw thrown
  }
  return {
    close,
    sum(at, total) {
      parameters.set(at)
      Atomics.store(control, DONE_CHUNKS, 0)
      Atomics.store(control, NEXT_CHUNK, 0)
      Atomics.add(control, ROUND, 1)
      Atomics.notify(control, ROUND)
      takeChunks(loss, memory)
      for (;;) {
        const done = Atomics.load(control, DONE_CHUNKS)
        if (Atomics.load(control, FAILED) !== 0)
          throw new StageError('a thread of the probe failed; fit again with one thread', {})
        if (done === loss.chunks) break
        Atomics.wait(control, DONE_CHUNKS, done)
      }
      total.fill(0)
      for (let from = 0; from < sums.length; from += loss.sumsLength) {
        for (let i = 0; i < total.length; i++) total[i]! += sums[from + i]!
      }
    },
  }
}

/** The life of a helping thread: a round of chunks whenever one is called, until the team closes. */
export function joinTeam(memory: TeamMemory, ready: () => void): void {
  const { data, classWeights, control } = memory
  const loss = openSoftmaxLoss(data, classWeights)
  let round = 0
  ready()
  try {
    for (;;) {
      Atomics.wait(control, ROUND, round)
      round = Atomics.load(control, ROUND)
      if (round === CLOSED) return
      takeChunks(loss, memory)
    }
  } catch (thrown) {
    Atomics.store(control, FAILED, 1)
    Atomics.add(control, DONE_CHUNKS, 1)
    Atomics.notify(control, DONE_CHUNKS)
    throw thrown
  }
}

function takeChunks(loss: SoftmaxLoss, { control, parameters, sums }: TeamMemory): void {
  for (;;) {
    const chunk = Atomics.add(control, NEXT_CHUNK, 1)
    if (chunk >= loss.chunks) return
    const from = chunk * loss.sumsLength
    loss.chunk(chunk, parameters, sums.subarray(from, from + loss.sumsLength))
    Atomics.add(control, DONE_CHUNKS, 1)
    Atomics.notify(control, DONE_CHUNKS)
  }
}

const shared = (sizeBytes: number): SharedArrayBuffer => new SharedArrayBuffer(sizeBytes)
