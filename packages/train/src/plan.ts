import { mkdir, rm, stat, statfs } from 'node:fs/promises'
import { dirname } from 'node:path'
import type { Log } from '@deepfever/core'
import { encodeSafetensors } from '@deepfever/formats'
import { openBackend } from '@deepfever/runtime'
import { openBatches, stepsPerEpoch } from './batches.ts'
import { requireFiniteLosses } from './finite.ts'
import { heldOutAccuracy } from './held-out.ts'
import { compareCounts } from './published-counts.ts'
import { openTrainerOf, type Run, type RunCare } from './training-loop.ts'

/** Steps that are timed, behind some that warm up. */
const STEPS = 20
const WARM = 3
/** The last checkpoint, the best, one that is being written, and the result with the best weights. */
const COPIES = 5
/** A line of metrics.jsonl, which lies in the work folder and then in the artifact too. */
const LINE_BYTES = 2 * 190
/** A row of the table of uses, with an id of usual length. */
const USE_BYTES = 56

const gib = (bytes: number): number => Number((bytes / 2 ** 30).toPrecision(3))

/**
 * Says what a run would cost, by 20 real steps after 3 that warm up: days, memory, disk. Nothing of
 * them is kept.
 *
 * @param place where the run would be written
 * @throws StageError when the counts are not the published ones, unless `anyCounts`
 */
export async function planRun(
  { experiment, data, start }: Pick<Run, 'experiment' | 'data' | 'start'>,
  { backend: prefer, workers, anyCounts }: RunCare & { readonly anyCounts: boolean },
  place: string,
  log: Log,
): Promise<void> {
  await compareCounts(data, anyCounts, log)
  const backend = await openBackend({ prefer })
  const steps = stepsPerEpoch(data, experiment) * experiment.epochs
  const batches = openBatches(data, experiment, { workers, addon: backend.addon })
  const trainer = openTrainerOf(backend, experiment, data, { weights: start })
  const times: number[] = []
  let waitMs = 0
  let images = 0
  try {
    let asked = performance.now()
    let step = 0
    for await (const batch of batches.from(0, WARM + STEPS)) {
      const got = performance.now()
      const { losses, total } = await trainer.step(batch, experiment.learningRate)
      requireFiniteLosses(step, { ...losses, total }, batch.faceIds, undefined)
      const now = performance.now()
      if (step++ >= WARM) {
        times.push(now - asked)
        waitMs += got - asked
        images += batch.faceIds.length
      }
      asked = now
    }
    // What the end of an epoch does, for the memory it takes.
    const atOnce = images / STEPS
    const some = { ...data.heldOut, length: Math.min(data.heldOut.length, atOnce) }
    await heldOutAccuracy(trainer, some, batches.load, { size: experiment.network.size, atOnce })
    const { weights, velocity } = await trainer.read()
    const stateBytes = encodeSafetensors(weights).length + encodeSafetensors(velocity).length
    const targets = data.targets ? (await stat(data.targets.path)).size : 0
    const { triplets, labelled, unlabelled } = data
    const faces = 3 * triplets.length + labelled.length + unlabelled.length
    const disk = COPIES * stateBytes + targets + steps * LINE_BYTES + faces * USE_BYTES
    const elapsed = times.reduce((sum, ms) => sum + ms, 0)
    // The median is deaf to a single stall, such as another program that starts.
    const median = times.sort((a, b) => a - b)[times.length >> 1]!
    const { bavail, bsize } = await statfs(dirname(place))
    log.event('plan', {
      ...{ backend: backend.describe(), steps, timed: times.length },
      secondsPerStep: Number((median / 1000).toPrecision(3)),
      days: Number(((steps * median) / 86_400_000).toPrecision(3)),
      imagesPerSecond: Number(((1000 * images) / elapsed).toPrecision(3)),
      waitShare: Number((waitMs / elapsed).toPrecision(2)),
      memoryGiB: gib(process.resourceUsage().maxRSS * 1024),
      ...{ diskGiB: gib(disk), diskFreeGiB: gib(bavail * bsize) },
    })
  } finally {
    trainer.close()
    await batches.close()
  }
}

/** Does `work` in a folder beside `out` that is gone afterwards. */
export async function inPassingFolder(
  out: string,
  work: (folder: string) => Promise<void>,
): Promise<void> {
  const folder = `${out}.plan`
  await mkdir(folder, { recursive: true })
  try {
    await work(folder)
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}
