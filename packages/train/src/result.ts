import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { encodeSafetensors, type ArtifactWriter, type StateDict } from '@deepfever/formats'
import { writeCheckpoint } from '@deepfever/models'
import type { RunRecord, RunState } from './checkpoints.ts'
import { RUN_PAGE } from './run-page.ts'
import { recipeOf } from './settings.ts'
import { EVENTS, METRICS, SPEED } from './run-log.ts'

/** A finished run. */
export interface Result extends RunState {
  readonly record: Pick<RunRecord, 'step' | 'epoch' | 'cursors' | 'best' | 'settings'>
  /** weights of the best step, where one was found */
  readonly best: StateDict | undefined
  /** report.html */
  readonly page: string
}

/** Files of a checkpoint artifact beside network.json and weights.safetensors. */
export const RUN_RECORD = 'run.json'
const MOMENTUM_FILE = 'momentum.safetensors'
const BEST_FILE = 'best.safetensors'

/** Writes the files of a checkpoint artifact; what depends on the clock goes beside them. */
export async function writeResult(
  write: ArtifactWriter,
  { record, weights, velocity, best, page }: Result,
): Promise<void> {
  const { settings, step } = record
  await writeCheckpoint(write, settings.experiment.network, weights)
  await write.file(MOMENTUM_FILE, encodeSafetensors(velocity, { format: 'pt' }))
  if (best) await write.file(BEST_FILE, encodeSafetensors(best, { format: 'pt' }))
  await write.file(RUN_RECORD, `${JSON.stringify(record, null, 1)}\n`)
  const [metrics, speed, events] = await Promise.all(
    [METRICS, SPEED, EVENTS].map(name => readFile(join(write.work, name))),
  )
  await write.file(METRICS, metrics!)
  await write.note(SPEED, speed!)
  await write.note(EVENTS, events!)
  await write.note(RUN_PAGE, page)
  const { experiment, backend } = settings
  const training = { recipe: recipeOf(settings), seed: experiment.seed }
  write.describe({ experiment, steps: step, backend, best: record.best, training })
}
