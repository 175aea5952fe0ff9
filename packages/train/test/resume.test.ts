// tap: test/resume.test.ts covers src/checkpoints.ts, src/settings.ts, src/list.ts, src/run-files.ts, src/run-page.ts, src/curve.ts, src/training-loop.ts
import { appendFile, cp, readFile, readdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import { StageError, openRandom, type Stage } from '@deepfever/core'
import { openArtifact, takeLock } from '@deepfever/formats'
import t from 'tap'
import { readCheckpoint, stepsIn } from '../src/checkpoints.ts'
import { openCurve } from '../src/curve.ts'
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

t.test(
  'a loss that is no number names step, part, faces, and the checkpoint that stands',
  async t => {
    const out = join(dir, 'diverged')
    const steep = { set: 'learningRate=1e10', checkpointMinutes: 0 }
    const { code, failure } = await train(out, steep)
    t.equal(code, 1)
    t.match(failure, {
      kind: 'StageError',
      message:
        'step 1: the loss rkd-distance is NaN; lower the learning rate or look at the faces named; ' +
        'the checkpoint of step 1 stands',
      ...{ step: 1, part: 'rkd-distance' },
    })
    t.equal((failure['faceIds'] as string[]).length, 10)
    const { record, weights } = await readCheckpoint(join(`${out}.work`, 'checkpoints'), 1)
    t.equal(record.step, 1)
    for (const { values } of weights.values())
      t.ok((values as Float32Array).every(Number.isFinite), 'what stands can be used')
    t.match(
      await readFile(`${out}.work/report.html`, 'utf8'),
      'step 1: the loss rkd-distance is NaN',
    )
  },
)

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

t.test('a checkpoint with any byte changed or cut off is refused or is the same', async t => {
  const { checkpoints } = await stoppedAfter(2, 'flipped')
  const wanted = await readCheckpoint(checkpoints, 2)
  const random = openRandom(process.env['DEEPFEVER_SEED'] ?? 'damage')
  const damages = Number(process.env['DEEPFEVER_DAMAGES'] ?? 50)
  for (const name of ['checkpoint.json', 'state.safetensors']) {
    const place = join(checkpoints, 'step-000000002', name)
    const bytes = await readFile(place)
    let refused = 0
    for (let i = 0; i < damages; i++) {
      const at = random.below(bytes.length)
      const damaged = i % 4 === 0 ? bytes.subarray(0, at) : Uint8Array.from(bytes)
      if (i % 4 > 0) damaged[at]! ^= 1 + random.below(255)
      await writeFile(place, damaged)
      const found = await readCheckpoint(checkpoints, 2).catch((thrown: unknown) => thrown)
      if (found instanceof StageError) refused++
      else if (found instanceof Error) throw found
      else if (!isDeepStrictEqual(found, wanted)) throw new Error(`${name} reads otherwise`)
    }
    t.ok(refused > 0.8 * damages, `${refused} of ${damages} damaged ${name} were refused`)
    await writeFile(place, bytes)
  }
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

t.test('the page of a run that stopped says where, why and how to go on', async t => {
  const { out } = await stoppedAfter(8, 'page')
  const pageOf = (folder: string) => readFile(join(folder, 'report.html'), 'utf8')
  const page = await pageOf(`${out}.work`)
  t.match(page, /<dd class="">stopped at step 8 of 12<\/dd>/)
  t.match(page, /<dd class="">stopped after step 8, as asked; the same command goes on<\/dd>/)
  t.match(page, /<dd class="">the same command goes on behind step 8<\/dd>/)
  t.match(
    page,
    /<figcaption>triplet: [\d.]+ to [\d.]+<\/figcaption>.*<span>step 0<\/span><span>7</s,
  )
  t.same(
    (await readdir(`${out}.work`)).filter(name => name.startsWith('report')),
    ['report.html'],
  )
  t.equal((await train(out)).code, 0)
  const curvesOf = (html: string) => html.match(/<polyline points="[^"]*"/g)?.slice(0, 5)
  const finished = await pageOf(out)
  t.match(finished, /finished: step 12 of 12/)
  t.same(curvesOf(finished), curvesOf(await pageOf(whole)), 'the curves of an undisturbed run')
})

t.test('a curve keeps bounded memory, every mean, and the range of all its values', t => {
  const curve = openCurve()
  const values = Array.from({ length: 5000 }, (_, i) => Math.sin(i / 50) + i / 1000)
  for (const [step, value] of values.entries()) curve.add(step, value)
  curve.add(5000, NaN)
  const { stretches } = curve
  t.ok(stretches.length > 100 && stretches.length <= 320, String(stretches.length))
  t.equal(stretches.at(-1)!.step, 4999)
  let from = 0
  for (const { count, mean, low, high, step } of stretches) {
    const own = values.slice(from, from + count)
    from += count
    t.ok(Math.abs(own.reduce((sum, value) => sum + value, 0) / count - mean) < 1e-12)
    t.same([low, high, step], [Math.min(...own), Math.max(...own), from - 1])
  }
  t.equal(from, 5000)
  t.end()
})

t.test('train list shows runs by state, and what makes them differ', async t => {
  const folder = join(dir, 'runs')
  t.equal((await train(join(folder, 'tiny'))).code, 0)
  await train(join(folder, 'tiny'), { run: 'steep', set: 'learningRate=0.1', stopAfter: 3 })
  const [head, ...lines] = runLines(await readRuns(folder))
  t.match(head, /^run +state +step +held-out +last losses +page +against the first of its kind$/)
  t.match(
    lines[0],
    /^tiny +finished +12 of 12 +- +total \d.*, rkd-angle [\d.]+ +.*runs.tiny.report\.html$/,
  )
  t.match(
    lines[1],
    /^tiny-steep +stopped +3 of 12 .* .*tiny-steep\.work.report\.html +tiny: experiment\.learningRate 0\.05 there, 0\.1 here$/,
  )
  const unlock = await takeLock(join(folder, 'tiny-steep.work'))
  t.match(runLines(await readRuns(folder))[2], /^tiny-steep +running +3 of 12/)
  await unlock()
  await t.rejects(readRuns(join(folder, 'none')), { message: /none: no such folder; wanted one w/ })
})
