// tap: test/killed.test.ts covers src/checkpoints.ts, src/training-loop.ts, src/verify-resume.ts
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { openRandom } from '@deepfever/core'
import { openArtifact } from '@deepfever/formats'
import t from 'tap'
import { readCheckpoint, stepsIn } from '../src/checkpoints.ts'
import { stages } from '../src/index.ts'
import { TARGET_WIDTH, drawRunInputs } from './drawn-inputs.ts'
import { run } from './tiny-run.ts'

const dir = t.testdir({})
const places = await drawRunInputs(dir)

/** DEEPFEVER_KILLS=10 npm run soak -- packages/train/test/killed.test.ts */
const KILLS = Number(process.env['DEEPFEVER_KILLS'] ?? 1)
// A kill costs the start of a process.
t.setTimeout(120_000 + KILLS * 30_000)

/** The student of the command line, six steps an epoch, as small as its settings let it be. */
const settings = {
  overlay: 'smoke',
  set: [
    'network.backbone.growth=4,network.backbone.blocks=[1],network.backbone.stem=4',
    `network.embedding=8,network.size=32,network.heads={"distill":${TARGET_WIDTH}}`,
    'batch.triplets=2,batch.labelled=3,batch.unlabelled=1,heldOut=0',
    `epochs=${2 + 2 * KILLS}`,
  ].join(),
}
const tiny = [
  ...Object.entries(settings).map(([key, value]) => `--${key}=${value}`),
  '--backend=portable',
]
const student = stages.find(({ name }) => name === 'train student')!
/** In this process. */
const train = (out: string, more: Readonly<Record<string, string | number>> = {}) =>
  run(student, { ...places, ...settings, out, ...more })

const program = fileURLToPath(new URL('../../cli/bin/deepfever.mjs', import.meta.url))
/** In a process that can be killed. */
const commandOf = (out: string, ...more: readonly string[]) => [
  ...[program, 'train', 'student', ...tiny, `--out=${out}`],
  ...Object.entries(places).map(([key, place]) => `--${key}=${place}`),
  ...more,
]
const eventsOf = (stderr: string) =>
  stderr
    .split('\n')
    .filter(line => line.startsWith('{'))
    .map(line => JSON.parse(line) as Readonly<Record<string, unknown>>)

t.test('a run killed at random moments ends with the bytes of an undisturbed one', async t => {
  const [out, undisturbed] = [join(dir, 'killed'), join(dir, 'not-killed')]
  t.equal((await train(undisturbed)).code, 0)
  const seed = process.env['DEEPFEVER_SEED'] ?? 'resume'
  const random = openRandom(seed)
  let kills = 0
  let continued = 0
  for (let tries = 0; tries <= 2 * KILLS + 2; tries++) {
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
      if (kills < KILLS && step >= before + wanted) setTimeout(() => child.kill('SIGKILL'), delayMs)
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

t.test('a full disk ends the run with its older checkpoint standing', async t => {
  const out = join(dir, 'full')
  t.equal((await train(out, { stopAfter: 5 })).code, 1)
  const checkpoints = join(`${out}.work`, 'checkpoints')
  const before = await readCheckpoint(checkpoints, 5)
  // A limit on the size of a file stands in for the full disk: the write fails half-way.
  const words = commandOf(out, '--stop-after=6').map(word => `'${word}'`)
  // Without the environment, because what tap puts into it dies of the limit's signal.
  const limited = `ulimit -f 8; exec env -i '${process.execPath}' ${words.join(' ')}`
  const { status, stderr } = spawnSync('bash', ['-c', limited], { encoding: 'utf8' })
  t.equal(status, 1)
  t.match(
    eventsOf(stderr).at(-1)?.['message'],
    /step-0{8}6: the checkpoint of \d+ bytes could not be written \(EFBIG.*\); that of step 5 stands; make room, then run the same command$/,
  )
  t.same(await readdir(checkpoints), ['step-000000005'], 'nothing half-written is left')
  t.equal((await readCheckpoint(checkpoints, 5)).record.state, before.record.state)
})

t.test('verify-resume finds a killed run equal to an undisturbed one', t => {
  const words = [
    'verify-resume',
    ...Object.entries(places).map(([key, place]) => `--${key}=${place}`),
    `--with=${tiny.join(' ')}`,
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
