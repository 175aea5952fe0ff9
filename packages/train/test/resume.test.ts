// tap: test/resume.test.ts covers src/checkpoints.ts, src/settings.ts, src/run-files.ts, src/training-loop.ts
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { appendFile, cp, readFile, readdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { openRandom, type Stage } from '@deepfever/core'
import { openArtifact } from '@deepfever/formats'
import t from 'tap'
import { readCheckpoint, stepsIn } from '../src/checkpoints.ts'
import { studentStage } from '../src/run.ts'
import { SMOKE_WIDTH, drawFaces, drawTargets } from './drawn-inputs.ts'
import { run, tinyStudent } from './tiny-run.ts'

const dir = t.testdir({})
const rows = Array.from({ length: 12 }, (_, i) => [i, i + 1, i + 2] as const)
const idsOf = (name: string, count: number) =>
  Array.from({ length: count }, (_, i) => `${name}-${i}`)
const ids = [...idsOf('fec', 14), ...idsOf('affectnet', 24), ...idsOf('powder', 7)]
const faces = {
  fec: await drawFaces(join(dir, 'fec'), { train: 14, rows }),
  affectnet: await drawFaces(join(dir, 'affectnet'), { train: 24, labels: 8 }),
  powder: await drawFaces(join(dir, 'powder'), { train: 7 }),
}
const places = { ...faces, targets: await drawTargets(join(dir, 'targets'), ids) }

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

/** The smoke student through the command line, twelve steps: what can be killed. */
const smoke = { ...faces, targets: await drawTargets(join(dir, 'wide'), ids, SMOKE_WIDTH) }
const program = fileURLToPath(new URL('../../cli/bin/deepfever.mjs', import.meta.url))
const commandOf = (out: string, ...more: readonly string[]) => [
  ...[program, 'train', 'student', '--overlay=smoke', '--backend=portable', `--out=${out}`],
  ...Object.entries(smoke).map(([key, place]) => `--${key}=${place}`),
  ...more,
]
const eventsOf = (stderr: string) =>
  stderr
    .split('\n')
    .filter(line => line.startsWith('{'))
    .map(line => JSON.parse(line) as Readonly<Record<string, unknown>>)

t.test('a run killed at random moments ends with the bytes of an undisturbed one', async t => {
  const [out, undisturbed] = [join(dir, 'killed'), join(dir, 'not-killed')]
  const { status } = spawnSync(process.execPath, commandOf(undisturbed))
  t.equal(status, 0)
  const seed = process.env['DEEPFEVER_SEED'] ?? 'resume'
  const random = openRandom(seed)
  let kills = 0
  let continued = 0
  for (let tries = 0; tries < 30; tries++) {
    const words = commandOf(out, '--checkpoint-minutes=0')
    const child = spawn(process.execPath, words, { stdio: ['ignore', 'ignore', 'pipe'] })
    const wanted = 1 + random.below(5)
    const delayMs = random.next() * 50
    let said = ''
    child.stderr.on('data', (data: Buffer) => (said += data.toString()))
    const checkpoints = join(`${out}.work`, 'checkpoints')
    const before = (await stepsIn(checkpoints))[0] ?? 0
    const watch = setInterval(async () => {
      const [step = 0] = await stepsIn(checkpoints)
      if (kills < 2 && step >= before + wanted) setTimeout(() => child.kill('SIGKILL'), delayMs)
    }, 5)
    const [code, signal] = (await once(child, 'close')) as [number | null, string | null]
    clearInterval(watch)
    const training = eventsOf(said).find(({ event }) => event === 'training')
    if (Number(training?.['continuesAt']) > 0) continued++
    if (signal === 'SIGKILL') kills++
    else {
      t.equal(code, 0, said)
      break
    }
  }
  t.comment(`${kills} kills, ${continued} of the runs went on behind a checkpoint, seed ${seed}`)
  t.ok(kills > 0 && continued > 0, 'it was killed, and went on')
  const artifact = await openArtifact(out, 'checkpoint')
  t.equal(artifact.digest, (await openArtifact(undisturbed, 'checkpoint')).digest)
  t.notOk(existsSync(`${out}.work`))
})

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

t.test('a full disk ends the run with its older checkpoint standing', async t => {
  const out = join(dir, 'full')
  spawnSync(process.execPath, commandOf(out, '--stop-after=5'))
  const checkpoints = join(`${out}.work`, 'checkpoints')
  const before = await readCheckpoint(checkpoints, 5)
  // A limit on the size of a file stands in for the full disk: the write fails half-way.
  const words = commandOf(out, '--stop-after=7').map(word => `'${word}'`)
  // Without the environment, because what tap puts into it dies of the limit's signal.
  const limited = `ulimit -f 64; exec env -i '${process.execPath}' ${words.join(' ')}`
  const { status, stderr } = spawnSync('bash', ['-c', limited], { encoding: 'utf8' })
  t.equal(status, 1)
  t.match(
    eventsOf(stderr).at(-1)?.['message'],
    /step-0{8}7: the checkpoint of \d+ bytes could not be written \(EFBIG.*\); that of step 5 stands; make room, then run the same command$/,
  )
  t.same(await readdir(checkpoints), ['step-000000005'], 'nothing half-written is left')
  t.equal((await readCheckpoint(checkpoints, 5)).record.state, before.record.state)
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

t.test('verify-resume finds a killed run equal to an undisturbed one', t => {
  const places = Object.entries(smoke).map(([key, place]) => `--${key}=${place}`)
  const words = [
    'verify-resume',
    ...places,
    `--out=${join(dir, 'verified')}`,
    '--steps=2',
    '--more=9',
  ]
  const { status, stderr } = spawnSync(process.execPath, [program, 'train', ...words], {
    encoding: 'utf8',
  })
  t.equal(status, 0, stderr)
  const events = eventsOf(stderr)
  t.match(events.at(-1), { event: 'equal', parts: ['weights', 'momentum', 'cursors', 'nextIds'] })
  t.ok(events.filter(({ equal }) => equal === true).length === 4)
  t.end()
})
