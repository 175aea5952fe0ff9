import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import {
  StageError,
  commonOptions,
  defineStage,
  integer,
  optionalPath,
  path,
  text,
  type Context,
} from '@deepfever/core'
import { encodeSafetensors, openArtifact, sha256, type StateDict } from '@deepfever/formats'
import { CHECKPOINTS, readCheckpoint, stepsIn, type SavedRun } from './checkpoints.ts'
import { readTrainingData } from './training-data.ts'

const POLL_MS = 20
const NEXT_IDS = 1000

/** What is compared of two runs: digests by part. */
type Digests = Readonly<Record<string, string>>

/** Runs `train` in a process of its own; kills it once the checkpoint of `killAt` is there. */
async function runApart(words: readonly string[], folder: string, killAt = Infinity) {
  const program = process.argv[1]!
  const child = spawn(process.execPath, [program, 'train', ...words], {
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  let said = ''
  child.stderr.on('data', (data: Buffer) => (said += data.toString()))
  const watch = setInterval(() => {
    void stepsIn(folder).then(([step = 0]) => {
      if (step >= killAt) child.kill('SIGKILL')
    })
  }, POLL_MS)
  const [, signal] = (await once(child, 'close')) as [number | null, string | null]
  clearInterval(watch)
  return { wasKilled: signal === 'SIGKILL', said }
}

/** The checkpoint after `step`, or what the run said in its place. */
async function checkpointOf(folder: string, step: number, said: string): Promise<SavedRun> {
  const [found] = await stepsIn(folder)
  if (found === step) return readCheckpoint(folder, step)
  throw new StageError(
    `${folder}: found the checkpoint of step ${found ?? 'none'}, wanted ${step}; the run said: ${said.trim().split('\n').at(-1)}`,
    { folder, found, wanted: step },
  )
}

const digestOf = (tensors: StateDict) => sha256(encodeSafetensors(tensors))

/** Holds a run that was killed and went on against one that was not. */
export const verifyResume = defineStage({
  name: 'train verify-resume',
  summary: 'steps + more against steps, SIGKILL, resume, more: the same to the last bit?',
  behaviour: 1,
  options: {
    ...commonOptions,
    experiment: text({ help: 'what is trained: student, teacher256, …', standard: 'student' }),
    with: text({ help: 'its other options, as on a command line', standard: '--overlay=smoke' }),
    fec: path('as for the experiment'),
    affectnet: path('as for the experiment'),
    powder: optionalPath('as for the experiment'),
    targets: optionalPath('as for the experiment'),
    out: path('folder for both runs; emptied before and after'),
    steps: integer({ help: 'before the kill', standard: 5, min: 1, max: 1e6 }),
    more: integer({ help: 'after it', standard: 5, min: 1, max: 1e6 }),
  },
  async run(options, context: Context) {
    const { steps, more, out } = options
    const end = steps + more
    await rm(out, { recursive: true, force: true })
    const wordsOf = (run: string) => [
      ...[options.experiment, `--out=${join(out, run)}`, `--stop-after=${end}`],
      ...(['fec', 'affectnet', 'powder', 'targets'] as const).flatMap(name =>
        options[name] ? [`--${name}=${options[name]}`] : [],
      ),
      ...options.with.split(' ').filter(word => word !== ''),
    ]
    const folderOf = (run: string) => join(out, `${run}.work`, CHECKPOINTS)
    const whole = await runApart(wordsOf('whole'), folderOf('whole'))
    const wanted = await checkpointOf(folderOf('whole'), end, whole.said)
    const cut = [...wordsOf('cut'), '--checkpoint-minutes=0']
    const first = await runApart(cut, folderOf('cut'), steps)
    if (!first.wasKilled)
      throw new StageError(
        `the run ended before it could be killed behind step ${steps}; give more steps after it: --more=${more * 4}`,
        { steps, more },
      )
    const [killedAt] = await stepsIn(folderOf('cut'))
    context.log.event('killed', { signal: 'SIGKILL', checkpoint: killedAt })
    const second = await runApart(cut, folderOf('cut'))
    const found = await checkpointOf(folderOf('cut'), end, second.said)
    const [one, two] = [await digestsOf(wanted, options), await digestsOf(found, options)]
    const different = Object.keys(one).filter(part => one[part] !== two[part])
    for (const part of Object.keys(one))
      context.log.event(part, {
        wanted: one[part],
        found: two[part],
        equal: one[part] === two[part],
      })
    if (different.length > 0)
      throw new StageError(
        `after step ${end}, ${different.join(', ')} of the resumed run are not those of the undisturbed one`,
        { different },
      )
    await rm(out, { recursive: true, force: true })
    context.log.event('equal', { steps, killedAt, more: end - killedAt!, parts: Object.keys(one) })
  },
})

/** Digests of what two runs must share. */
async function digestsOf(
  { record, weights, velocity }: SavedRun,
  places: Readonly<Record<'fec' | 'affectnet' | 'powder' | 'targets' | 'out', string>>,
): Promise<Digests> {
  const { experiment } = record.settings
  const sources = {
    fec: await openArtifact(places.fec, 'faces'),
    affectnet: await openArtifact(places.affectnet, 'faces'),
    ...(places.powder && { powder: await openArtifact(places.powder, 'faces') }),
  }
  const data = await readTrainingData(sources, { ...experiment, distillation: 'none' }, places.out)
  // It loads TensorFlow.js, which no other command should wait for.
  const { openPlan } = await import('./batches.ts')
  const planOf = openPlan(data, experiment)
  const next: string[] = []
  for (let step = record.step; next.length < NEXT_IDS; step++)
    next.push(...planOf(step).rows.map(row => data.faces.idOf(row)))
  return {
    weights: digestOf(weights),
    momentum: digestOf(velocity),
    cursors: sha256(JSON.stringify(record.cursors)),
    nextIds: sha256(next.slice(0, NEXT_IDS).join('\n')),
  }
}
