import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { StageError, messageOf, type Context } from '@deepfever/core'
import type { ArtifactWriter, InputEntry } from '@deepfever/formats'
import { toNetwork } from '@deepfever/models'
import { openBackend, type Backend, type BackendOptions } from '@deepfever/runtime'
import { cursorsAt, openBatches, stepsPerEpoch } from './batches.ts'
import { CHECKPOINTS, openCheckpoints, type RunState } from './checkpoints.ts'
import type { Experiment } from './experiment.ts'
import { requireFiniteLosses, requireFiniteWeights } from './finite.ts'
import { heldOutAccuracy } from './held-out.ts'
import { lossesOf } from './loss-sum.ts'
import { writeResult } from './result.ts'
import { readRunCurves } from './run-curves.ts'
import { openRunFiles } from './run-files.ts'
import { RUN_FILES, openRunLog } from './run-log.ts'
import { renderRun, writeRunPage, type RunPlace } from './run-page.ts'
import type { Settings } from './settings.ts'
import type { StartWeights } from './start-weights.ts'
import { openTrainer } from './trainer.ts'
import type { TrainingData } from './training-data.ts'
import { writeUses } from './uses.ts'

/** What is trained, on what, from what. */
export interface Run {
  readonly experiment: Experiment
  readonly data: TrainingData
  readonly start: StartWeights['state']
  readonly inputs: readonly InputEntry[]
}

/** How a run is watched over; nothing of it changes the result. */
export interface RunCare {
  /** time between checkpoints; 0 writes one after every step */
  readonly checkpointMinutes: number
  /** stops after this many steps, with a checkpoint; 0 goes on to the end */
  readonly stopAfter: number
  /** begin anew although there are checkpoints */
  readonly force: boolean
  /** threads that decode; no result depends on it */
  readonly workers: number
  /** what computes; the bits of the result depend on it */
  readonly backend: BackendOptions['prefer'] & string
}

/** Images of a step. */
const rowsOf = ({ triplets, labelled, unlabelled }: Experiment['batch']): number =>
  3 * triplets + labelled + unlabelled

/** A trainer in the state of `from`. */
export function openTrainerOf(
  backend: Backend,
  experiment: Experiment,
  { targets }: TrainingData,
  from: Partial<RunState>,
) {
  const { network, batch } = experiment
  const { weights = new Map(), velocity } = from
  const parts = [3 * batch.triplets, batch.labelled, batch.unlabelled].filter(rows => rows > 0)
  return openTrainer({
    backend,
    network: toNetwork(network),
    weights,
    ...(velocity && { velocity }),
    losses: lossesOf(experiment, targets?.blocks),
    momentum: experiment.momentum,
    recompute: experiment.recompute,
    ...(experiment.batchNormBatches === 'per-dataset' && { parts }),
  })
}

/** Trains to the end, from the last checkpoint if there is one, and writes the artifact. */
export async function train(
  { experiment, data, start, inputs }: Run,
  care: RunCare,
  write: ArtifactWriter,
  { log, work, checkpoint, signal }: Context,
): Promise<void> {
  const backend = await openBackend({ prefer: care.backend })
  const { checkpointMinutes, stopAfter, force, workers } = care
  const folder = join(write.work, CHECKPOINTS)
  if (force) await rm(folder, { recursive: true, force: true })
  const { stage, behaviour } = work
  const settings: Settings = { stage, behaviour, experiment, inputs, backend: backend.describe() }
  const checkpoints = await openCheckpoints(folder, settings, log)
  const { last } = checkpoints
  const first = last?.record.step ?? 0
  const perEpoch = stepsPerEpoch(data, experiment)
  const total = perEpoch * experiment.epochs
  log.event('training', {
    ...{
      backend: backend.describe(),
      triplets: data.triplets.length,
      labelled: data.labelled.length,
    },
    ...{ unlabelled: data.unlabelled.length, steps: total },
    ...(last && { continuesAt: first }),
  })
  const batches = openBatches(data, experiment, { workers, addon: backend.addon })
  const trainer = openTrainerOf(backend, experiment, data, last ?? { weights: start })
  const records = await openRunFiles(write.work, RUN_FILES, last?.record.recordBytes ?? {})
  let best = last?.record.best ?? null
  const placeAt = (step: number) => ({
    ...{ step, epoch: Math.floor(step / perEpoch), best },
    cursors: cursorsAt(step, data, experiment),
  })
  const curves = await readRunCurves(write.work)
  let step = first
  let saved = last && first
  let savedAt = performance.now()
  const factsOf = (state: RunPlace['state']) => ({
    run: { step, steps: total, state, saved, best },
    ...{ settings, curves, time: new Date() },
  })
  const show = (state: RunPlace['state']) => writeRunPage(write.work, factsOf(state), log)

  const judge = async (): Promise<void> => {
    const { heldOut } = data
    const sizes = { size: experiment.network.size, atOnce: rowsOf(experiment.batch) }
    const accuracy = await heldOutAccuracy(trainer, heldOut, batches.load, sizes)
    if (accuracy === undefined) return
    if (best === null || accuracy > best.accuracy) best = { step, accuracy }
    log.event('epoch', { step, heldOutAccuracy: accuracy, triplets: heldOut.length, best })
  }
  const save = async (): Promise<void> => {
    const state = await trainer.read()
    requireFiniteWeights(step, state.weights, saved)
    if (step % perEpoch === 0) await judge()
    const recordBytes = await records.flush()
    await checkpoints.save({ ...placeAt(step), steps: total, recordBytes }, state)
    saved = step
    await show('going on')
    savedAt = performance.now()
  }

  try {
    await show('going on')
    const runLog = openRunLog(records.files, { log, first, total, curves })
    let asked = performance.now()
    for await (const batch of batches.from(first, total)) {
      const waitMs = performance.now() - asked
      const { losses: parts, total: sum } = await trainer.step(batch, experiment.learningRate)
      const losses = { total: sum, ...parts }
      requireFiniteLosses(step, { ...parts, total: sum }, batch.faceIds, saved)
      const images = batch.faceIds.length
      runLog.step({ step, epoch: Math.floor(step / perEpoch), losses, images, waitMs })
      step++
      if (step === total) runLog.done()
      const isDue = performance.now() - savedAt >= checkpointMinutes * 60_000
      if (isDue || step % perEpoch === 0 || step === stopAfter || signal.aborted) await save()
      checkpoint()
      if (step === stopAfter && step < total)
        throw new StageError(`stopped after step ${step}, as asked; the same command goes on`, {
          step,
        })
      asked = performance.now()
    }
    const record = { ...placeAt(total), settings }
    await writeUses(write, data, experiment, total)
    const bestWeights = best ? await checkpoints.weightsOf(best.step) : undefined
    const page = renderRun(factsOf('finished'))
    await writeResult(write, { ...(await trainer.read()), record, best: bestWeights, page })
  } catch (thrown) {
    await show({ stopped: messageOf(thrown) })
    throw thrown
  } finally {
    trainer.close()
    await batches.close()
    await records.close()
  }
  write.accept(total)
  await write.done('run', total)
}
