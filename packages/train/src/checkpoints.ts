import { mkdir, readFile, readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { StageError, messageOf, type Log } from '@deepfever/core'
import {
  decodeSafetensors,
  encodeSafetensors,
  sha256,
  writeFolder,
  type StateDict,
} from '@deepfever/formats'
import { describeDifferences, differencesOf, type Settings } from './settings.ts'

/** The held-out triplet accuracy of a step. */
interface Best {
  readonly step: number
  readonly accuracy: number
}

/** Where a run stands, beside its tensors; checkpoint.json is this and its own sha256. */
export interface RunRecord {
  readonly checkpoint: 1
  /** steps done */
  readonly step: number
  /** of the whole run */
  readonly steps: number
  readonly epoch: number
  /** where each stream stands: passes done, and position in the present one */
  readonly cursors: Readonly<Record<string, { readonly pass: number; readonly at: number }>>
  readonly settings: Settings
  /** the best step so far; its checkpoint is kept beside the last */
  readonly best: Best | null
  /** bytes of the records that belong to these steps; what stands behind them is cut off */
  readonly recordBytes: Readonly<Record<string, number>>
  /** sha256 of state.safetensors */
  readonly state: string
}

/** Tensors of a run: weights with running statistics, and momentum, by PyTorch name. */
export interface RunState {
  readonly weights: StateDict
  readonly velocity: StateDict
}

/** A checkpoint as read. */
export interface SavedRun extends RunState {
  readonly record: RunRecord
}

/** The checkpoints of one run: the last, and that of the best step. */
export interface Checkpoints {
  /** Newest whole checkpoint of these settings; undefined where there is none. */
  readonly last: SavedRun | undefined
  /** Weights as they stood after a step whose checkpoint is kept. */
  weightsOf(step: number): Promise<StateDict>
  /**
   * Writes a checkpoint, then removes what is neither last nor best.
   *
   * @throws StageError when it cannot be written; older ones stand
   */
  save(record: Omit<RunRecord, 'checkpoint' | 'settings' | 'state'>, state: RunState): Promise<void>
}

/** Folder of the checkpoints in a run's work folder. */
export const CHECKPOINTS = 'checkpoints'

const RECORD = 'checkpoint.json'
const STATE = 'state.safetensors'
const MOMENTUM = 'momentum/'

/** Folder of the checkpoint after `step`; names sort by step. */
const checkpointName = (step: number): string => `step-${String(step).padStart(9, '0')}`

/** Steps with a checkpoint in `folder`, newest first. */
export async function stepsIn(folder: string): Promise<number[]> {
  const names = await readdir(folder).catch(() => [])
  return names
    .filter(name => /^step-\d{9}$/.test(name))
    .map(name => Number(name.slice(5)))
    .sort((a, b) => b - a)
}

/**
 * Record of the checkpoint after `step`, without its tensors.
 *
 * @throws StageError when it is not as it was written
 */
export async function readRecord(folder: string, step: number): Promise<RunRecord> {
  const place = join(folder, checkpointName(step), RECORD)
  let file: RunRecord & { readonly sha256?: string }
  try {
    file = JSON.parse(await readFile(place, 'utf8')) as RunRecord
  } catch (thrown) {
    throw new StageError(`${place}: not readable: ${messageOf(thrown)}`, { place }, thrown)
  }
  // Absent in checkpoints of earlier releases.
  const { sha256: wanted, ...record } = file
  const found = sha256(JSON.stringify(record))
  if (wanted !== undefined && found !== wanted)
    throw new StageError(`${place}: sha256 ${found}, wanted ${wanted}`, { place, found, wanted })
  return record
}

/**
 * Reads the checkpoint after `step`.
 *
 * @throws StageError when its tensors are not the ones its record names
 */
export async function readCheckpoint(folder: string, step: number): Promise<SavedRun> {
  const record = await readRecord(folder, step)
  const place = join(folder, checkpointName(step), STATE)
  const bytes = await readFile(place)
  const found = sha256(bytes)
  if (found !== record.state)
    throw new StageError(`${place}: sha256 ${found}, wanted ${record.state}`, {
      place,
      found,
      wanted: record.state,
    })
  const { tensors } = decodeSafetensors(bytes, place)
  const part = (isWanted: (name: string) => boolean, from: number): StateDict =>
    new Map([...tensors].filter(([name]) => isWanted(name)).map(([k, v]) => [k.slice(from), v]))
  return {
    record,
    weights: part(name => !name.startsWith(MOMENTUM), 0),
    velocity: part(name => name.startsWith(MOMENTUM), MOMENTUM.length),
  }
}

/** Newest checkpoint that is whole; damaged ones are named and passed over. */
async function readNewest(folder: string, log: Log): Promise<SavedRun | undefined> {
  for (const step of await stepsIn(folder)) {
    try {
      return await readCheckpoint(folder, step)
    } catch (thrown) {
      log.warn(`${join(folder, checkpointName(step))}: passed over: ${messageOf(thrown)}`)
    }
  }
  return undefined
}

/**
 * Opens the checkpoints in `folder`.
 *
 * @throws StageError when they were made with other settings, with the list of differences
 */
export async function openCheckpoints(
  folder: string,
  settings: Settings,
  log: Log,
): Promise<Checkpoints> {
  await mkdir(folder, { recursive: true })
  const last = await readNewest(folder, log)
  const differences = last ? differencesOf(last.record.settings, settings) : []
  if (differences.length > 0)
    throw new StageError(
      `${folder}: the checkpoint of step ${last?.record.step} was made with other settings: ` +
        `${describeDifferences(differences)}; give the same settings to go on with it, ` +
        '--run=NAME to keep both, or --force to begin anew',
      { folder, step: last?.record.step, differences },
    )
  return {
    last,
    weightsOf: async step => (await readCheckpoint(folder, step)).weights,
    async save(record, { weights, velocity }) {
      const momentum = [...velocity].map(([name, tensor]) => [MOMENTUM + name, tensor] as const)
      const state = encodeSafetensors(new Map([...weights, ...momentum]), { format: 'pt' })
      const whole: RunRecord = { checkpoint: 1, ...record, settings, state: sha256(state) }
      const place = join(folder, checkpointName(record.step))
      const signed = { ...whole, sha256: sha256(JSON.stringify(whole)) }
      const files = { [STATE]: state, [RECORD]: `${JSON.stringify(signed, null, 1)}\n` }
      const older = await stepsIn(folder)
      await writeFolder(place, files).catch((thrown: NodeJS.ErrnoException) => {
        throw new StageError(
          `${place}: the checkpoint of ${state.length} bytes could not be written ` +
            `(${messageOf(thrown)}); ` +
            (older.length > 0 ? `that of step ${older[0]} stands; ` : '') +
            'make room, then run the same command',
          { place, sizeBytes: state.length, code: thrown.code },
          thrown,
        )
      })
      for (const step of older)
        if (step !== record.step && step !== record.best?.step)
          await rm(join(folder, checkpointName(step)), { recursive: true, force: true })
    },
  }
}
