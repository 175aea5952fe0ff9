// tap: test/resume.test.ts covers src/checkpoints.ts, src/settings.ts, src/list.ts, src/run-files.ts, src/training-loop.ts
import { appendFile, cp, readFile, readdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Stage } from '@deepfever/core'
import { openArtifact, takeLock } from '@deepfever/formats'
import t from 'tap'
import { readCheckpoint, stepsIn } from '../src/checkpoints.ts'
import { readRuns, runLines } from '../src/list.ts'
import { studentStage } from '../src/run.ts'
import { drawFaces, drawRunInputs } from './drawn-inputs.ts'
import { run, tinyStudent } from './tiny-run.ts'

const dir = t.testdir({})
const places = await drawRunInputs(dir)

/** Twelve steps in two epochs. */
const student = studentStage('tiny', tinyStudent, 'a student') as Stage
const train = (out: string, more: Readonly<Record<string, string | number | boolean>> = {}) =>
  run(student, { ...places, out, ...more })

const whole = join(dir, 'undisturbed')
t.equal((await train(whole)).code, 0)
const wanted = (await openArtifact(whole, 'checkpoint')).digest

/** A run that stopped after `steps`, with its checkpoint. */
async function stoppedAfter(steps: number, name: string) {
  const out = join(dir, name)
  const { code, failure } = await train(out, { stopAfter: steps })
  t.equal(code, 1)
  t.match(failure['message'], `stopped after step ${steps}, as asked; the same command goes on`)
  const checkpoints = join(`${out}.work`, 'checkpoints')
  t.equal((await stepsIn(checkpoints))[0], steps)
  return { out, checkpoints }
}

t.test('a checkpoint of other settings is refused with what differs', async t => {
  const { out } = await stoppedAfter(5, 'refused')
  const { code, failure } = await train(out, { seed: 9 })
  t.equal(code, 1)
  t.match(failure, {
    kind: 'StageError',
    message:
      `${out}.work/checkpoints: the checkpoint of step 5 was made with other settings: ` +
      'experiment.seed 7 there, 9 here; give the same settings to go on with it, ' +
      '--run=NAME to keep both, or --force to begin anew',
    differences: [{ place: 'experiment.seed', found: 7, wanted: 9 }],
  })
  const powder = await drawFaces(join(dir, 'other', 'powder'), { train: 6 })
  const other = await train(out, { powder })
  t.match(other.failure['message'], /settings: inputs\.powder "[0-9a-f]+….*" there, "[0-9a-f]+…/)
  t.equal((await train(out)).code, 0)
  t.equal((await openArtifact(out, 'checkpoint')).digest, wanted)
  t.same((await train(out)).events, ['up to date'])
})

t.test('--force begins anew over a checkpoint of other settings', async t => {
  const { out } = await stoppedAfter(1, 'forced')
  const { said } = await train(out, { seed: 9, force: true })
  t.same(
    said.map(({ event, continuesAt }) => [event, continuesAt]),
    [
      ['training', undefined],
      ['wrote', undefined],
    ],
  )
})

t.test('a damaged checkpoint is named and passed over', async t => {
  const { out, checkpoints } = await stoppedAfter(4, 'damaged')
  const first = (await readdir(checkpoints)).sort()[0]!
  await cp(join(checkpoints, first), join(dir, 'kept'), { recursive: true })
  t.equal((await train(out, { stopAfter: 6 })).code, 1)
  await cp(join(dir, 'kept'), join(checkpoints, first), { recursive: true })
  const [newest] = await stepsIn(checkpoints)
  t.equal(newest, 6)
  await appendFile(join(checkpoints, 'step-000000006', 'state.safetensors'), 'x')
  const { code, said } = await train(out)
  t.equal(code, 0)
  t.match(said[0], { event: 'warning', message: /step-000000006: passed over: .*sha256/ })
  t.match(said[1], { event: 'training', continuesAt: 4 })
  t.equal((await openArtifact(out, 'checkpoint')).digest, wanted)
})

t.test('a checkpoint says where the run stood', async t => {
  const { out, checkpoints } = await stoppedAfter(9, 'place')
  const { record, weights, velocity } = await readCheckpoint(checkpoints, 9)
  t.match(record, {
    ...{ checkpoint: 1, step: 9, epoch: 1 },
    cursors: {
      triplets: { pass: 1, at: 6 },
      labelled: { pass: 1, at: 3 },
      unlabelled: { pass: 1, at: 2 },
    },
    settings: { stage: 'train tiny', experiment: { seed: 7 }, backend: /^portable/ },
  })
  t.ok([...weights.keys()].some(name => name.endsWith('running_var')))
  t.ok([...velocity.values()].every(({ values }) => values.length > 0))
  t.ok([...velocity.keys()].every(name => weights.has(name)))
  const metrics = join(`${out}.work`, 'metrics.jsonl')
  t.equal((await readFile(metrics, 'utf8')).split('\n').length - 1, 9)
  await writeFile(metrics, '')
  const { failure } = await train(out)
  t.match(failure['message'], /metrics\.jsonl: ends \d+ bytes before its checkpoint; begin anew/)
  await rm(`${out}.work`, { recursive: true })
})

t.test('train list shows runs by state, and what makes them differ', async t => {
  const folder = join(dir, 'runs')
  t.equal((await train(join(folder, 'tiny'))).code, 0)
  await train(join(folder, 'tiny'), { run: 'steep', set: 'learningRate=0.1', stopAfter: 3 })
  const [head, ...lines] = runLines(await readRuns(folder))
  t.match(head, /^run +state +step +held-out +last losses +against the first of its kind$/)
  t.match(lines[0], /^tiny +finished +12 of 12 +- +total \d.*, rkd-angle [\d.]+$/)
  t.match(
    lines[1],
    /^tiny-steep +stopped +3 of 12 .* tiny: experiment\.learningRate 0\.05 there, 0\.1 here$/,
  )
  const unlock = await takeLock(join(folder, 'tiny-steep.work'))
  t.match(runLines(await readRuns(folder))[2], /^tiny-steep +running +3 of 12/)
  await unlock()
  await t.rejects(readRuns(join(folder, 'none')), { message: /none: no such folder; wanted one w/ })
})
