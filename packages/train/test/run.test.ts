// tap: test/run.test.ts covers src/run.ts, src/training-loop.ts, src/experiment.ts, src/loss-sum.ts, src/finite.ts, src/held-out.ts, src/run-log.ts, src/result.ts, src/uses.ts, src/plan.ts, src/published-counts.ts, src/run-page.ts, src/run-curves.ts, src/curve.ts
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { readFile, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { silentLog, type Stage } from '@deepfever/core'
import { openArtifact, targets, uses, writeArtifact, type Use } from '@deepfever/formats'
import { TEACHER, describeNetwork, openCheckpoint, toNetwork } from '@deepfever/models'
import t from 'tap'
import teacher256 from '../configs/teacher256.ts'
import { openPlan } from '../src/batches.ts'
import type { RunRecord } from '../src/checkpoints.ts'
import { isDistilled, withOverlay, type ExperimentFile, type Overlay } from '../src/experiment.ts'
import { stages } from '../src/index.ts'
import { lossesOf } from '../src/loss-sum.ts'
import { openRunCurves } from '../src/run-curves.ts'
import { renderRun, type RunPlace } from '../src/run-page.ts'
import { studentStage, teacherStage } from '../src/run.ts'
import { readTrainingData } from '../src/training-data.ts'
import { SIZE, drawFaces, drawTargets, spec } from './drawn-inputs.ts'
import { run, tinyStudent } from './tiny-run.ts'

const teacherFile: ExperimentFile = {
  experiment: {
    ...tinyStudent.experiment,
    network: {
      ...{ kind: 'teacher', ...TEACHER },
      trunk: { cut: 'conv2d_2b', width: 0.05, repeats: [1, 1, 1] },
      neck: { reduce: 4, layers: 1, growth: 4, bottleneck: 1 },
      embedding: 4,
      heads: { fec: 3, affectnet: 8 },
      size: SIZE,
    },
    batch: { triplets: 2, labelled: 2, unlabelled: 0 },
    distillation: 'none',
    teachers: [],
    losses: { triplet: 1, crossEntropy: 0.1, rkdDistance: 0, rkdAngle: 0, direct: 0 },
  },
  overlays: { smoke: {} },
}

const dir = t.testdir({})
const rows = Array.from({ length: 5 }, (_, i) => [i, i + 1, i + 2] as const)
const idsOf = (name: string, count: number) =>
  Array.from({ length: count }, (_, i) => `${name}-${i}`)
const places = {
  fec: await drawFaces(join(dir, 'fec'), { train: 7, test: 1, rows }),
  affectnet: await drawFaces(join(dir, 'affectnet'), { train: 8, labels: 8 }),
  powder: await drawFaces(join(dir, 'powder'), { train: 3 }),
}
const needed = [...idsOf('fec', 7), ...idsOf('affectnet', 8), ...idsOf('powder', 3)]
const distilled = { ...places, targets: await drawTargets(join(dir, 'targets'), needed) }
const labelledOnly = { fec: places.fec, affectnet: places.affectnet }

const studentOf = (overlay: Overlay = {}) =>
  studentStage(
    'tiny',
    { ...tinyStudent, experiment: withOverlay(tinyStudent.experiment, overlay) },
    'a student',
  ) as Stage
const teacherOf = (overlay: Overlay = {}) => {
  const experiment = withOverlay(teacherFile.experiment, overlay)
  return teacherStage('tiny', { ...teacherFile, experiment }) as Stage
}

t.test('an overlay changes what it names and nothing else', async t => {
  const changed = withOverlay(teacher256.experiment, { network: { embedding: 128 }, seed: 3 })
  const { network, ...rest } = teacher256.experiment
  t.same(changed, { ...rest, network: { ...network, embedding: 128 }, seed: 3 })
})

t.test('an overlay that names or gives what the experiment lacks is a usage error', async t => {
  for (const [overlay, message] of [
    [{ epoch: 3 }, /^epoch: no such setting; here: network, init, epochs, batch, /],
    [{ batch: { images: 3 } }, /^batch\.images: no such setting; here: triplets, labelled, unl/],
    [{ toString: 'x' }, /^toString: no such setting/],
    [{ epochs: '3' }, /^epochs: found "3", wanted a value like 2$/],
    [{ batch: 3 }, /^batch: found 3, wanted a value like \{"triplets":2/],
    [{ batch: null }, /^batch: found null, wanted a value like \{/],
    [
      { network: { backbone: { blocks: 4 } } },
      /^network\.backbone\.blocks: found 4, .* like \[1\]$/,
    ],
  ] as const)
    t.throws(() => withOverlay(tinyStudent.experiment, overlay as unknown as Overlay), {
      name: 'UsageError',
      message,
    })
})

t.test('a run twice gives the same bytes; what it was is in the manifest', async t => {
  const out = join(dir, 'student')
  const first = await run(studentOf(), { ...distilled, out })
  t.same([first.code, first.events], [0, ['training', 'wrote']])
  const { triplets, labelled, unlabelled, steps } = first.said[0]!
  t.same([triplets, labelled, unlabelled, steps], [5, 8, 3, 4], 'test faces are not trained on')
  const artifact = await openArtifact(out, 'checkpoint')
  const metrics = Buffer.from(await artifact.file('metrics.jsonl'))
    .toString()
    .trimEnd()
  const lines = metrics.split('\n').map(line => JSON.parse(line) as Record<string, number>)
  const places = lines.map(({ step, epoch }) => `${step} ${epoch}`)
  t.same(places, ['0 0', '1 0', '2 1', '3 1'], 'step and epoch')
  for (const { total, ...parts } of lines) {
    const sum = parts['triplet']! + 0.1 * parts['cross-entropy']!
    const distance = 25 * parts['rkd-distance']! + 50 * parts['rkd-angle']!
    t.ok(Math.abs(sum + distance - total!) < 1e-4, 'the losses add up by their weights')
  }
  const { manifest } = artifact
  t.match(manifest.metadata, { experiment: tinyStudent.experiment, steps: 4, backend: /^portable/ })
  const roles = manifest.inputs.map(({ role }) => role).join()
  t.equal(roles, 'fec,affectnet,powder,targets')
  const licences = manifest.terms.map(({ licence }) => licence)
  t.same(licences, ['of affectnet', 'of fec', 'of powder'], 'the terms of all inputs')
  t.same((await openCheckpoint(out, 'student')).specification, tinyStudent.experiment.network)

  t.same((await run(studentOf(), { ...distilled, out })).events, ['up to date'])
  const again = join(dir, 'again')
  t.equal((await run(studentOf(), { ...distilled, out: again })).code, 0)
  t.equal((await openArtifact(again, 'checkpoint')).digest, artifact.digest)
  const smoke = { ...distilled, out: again, overlay: 'smoke', seed: 8 }
  t.match((await run(studentOf(), smoke)).said[0], { event: 'training', steps: 2 })
  const { metadata } = (await openArtifact(again, 'checkpoint')).manifest
  t.match(metadata, { experiment: { epochs: 1, batchNormBatches: 'per-dataset', seed: 8 } })
  const repeated = async (seed: number) => {
    await run(studentOf(), { ...smoke, seed })
    return (await openCheckpoint(again, 'student')).training
  }
  const [eight, nine] = [await repeated(8), await repeated(9)]
  t.same([eight?.seed, nine?.seed], [8, 9])
  t.equal(eight?.recipe, nine?.recipe, 'runs that differ in the seed alone are one recipe')
  t.not((await openCheckpoint(out, 'student')).training?.recipe, nine?.recipe)
})

t.test('a checkpoint says which steps used which face, and eval explain prints it', async t => {
  const experiment = tinyStudent.experiment
  const out = join(dir, 'student')
  const artifact = await openArtifact(out, 'checkpoint')
  const found: Use[] = []
  for await (const use of artifact.rows(uses)) found.push(use)
  const sources = {
    fec: await openArtifact(places.fec, 'faces'),
    affectnet: await openArtifact(places.affectnet, 'faces'),
    powder: await openArtifact(places.powder, 'faces'),
  }
  const data = await readTrainingData(sources, { ...experiment, distillation: 'none' }, dir)
  const planOf = openPlan(data, experiment)
  const wanted = new Map<string, number[]>()
  const streams = [
    ...Array<string>(6).fill('triplets'),
    ...Array<string>(3).fill('labelled'),
    'unlabelled',
  ]
  for (let step = 0; step < 4; step++)
    for (const [i, row] of planOf(step).rows.entries()) {
      const key = `${streams[i]} ${data.faces.idOf(row)}`
      wanted.set(key, [...(wanted.get(key) ?? []).filter(one => one !== step), step])
    }
  const shown = found.map(use => [`${use.stream} ${use.faceId}`, use] as const)
  t.same(
    new Map(
      shown.map(([key, { batches, firstStep, lastStep }]) => [key, [batches, firstStep, lastStep]]),
    ),
    new Map([...wanted].map(([key, steps]) => [key, [steps.length, steps[0], steps.at(-1)]])),
  )
  t.equal(found.length, wanted.size)

  const program = fileURLToPath(new URL('../../cli/bin/deepfever.mjs', import.meta.url))
  const [key, steps] = [...wanted].find(([name]) => name.startsWith('labelled'))!
  const words = [
    'eval',
    'explain',
    key.split(' ')[1]!,
    `--faces=${places.affectnet}`,
    `--student=${out}`,
  ]
  const { stdout } = spawnSync(process.execPath, [program, ...words], { encoding: 'utf8' })
  t.match(
    stdout,
    `batches    labelled: ${steps.length} of 4 steps, the first ${steps[0]}, the last ${steps.at(-1)}\n`,
  )
})

t.test(
  'a teacher needs neither targets nor unlabelled faces, and gives the same bytes',
  async t => {
    const [one, two] = [join(dir, 'teacher-1'), join(dir, 'teacher-2')]
    for (const out of [one, two])
      t.equal((await run(teacherOf(), { ...labelledOnly, out })).code, 0)
    const { digest, manifest } = await openArtifact(one, 'checkpoint')
    t.equal((await openArtifact(two, 'checkpoint')).digest, digest)
    t.equal(manifest.inputs.length, 2)
    t.match(manifest.stage, 'train tiny')
  },
)

t.test('a missing target names face and view, before the first step', async t => {
  const half = join(dir, 'half')
  await writeArtifact(spec(half, 'targets'), silentLog, async write => {
    write.describe((await openArtifact(distilled.targets, 'targets')).manifest.metadata)
    for await (const row of (await openArtifact(distilled.targets, 'targets')).rows(targets))
      if (row.faceId !== 'affectnet-3' || row.view === 'plain') await write.append(targets, row)
  })
  const out = join(dir, 'untrained')
  const { code, events, failure } = await run(studentOf(), { ...distilled, targets: half, out })
  t.same([code, events], [1, ['failed']])
  t.match(failure, {
    kind: 'FormatError',
    message:
      `${half}: no flipped target for face affectnet-3; make targets for every faces artifact ` +
      'that is trained on: npx deepfever targets predict',
    faceId: 'affectnet-3',
    view: 'flipped',
  })
  t.notOk(existsSync(out))
})

t.test('published weights that are not there are named with their source and command', async t => {
  const from = process.cwd()
  process.chdir(dir)
  t.teardown(() => process.chdir(from))
  const out = join(dir, 'pretrained')
  const { code, failure } = await run(teacherOf(), { ...labelledOnly, out, init: 'pretrained' })
  t.equal(code, 1)
  t.match(failure, {
    kind: 'StageError',
    message: new RegExp(
      '^datasets/weights/inception-resnet-v1.safetensors: the published weights are missing; ' +
        'get 20180402-114759-vggface2.pt from .*timesler/facenet-pytorch, ' +
        'then: npx deepfever models import .* --init=random\\)$',
    ),
  })
  t.notOk(existsSync(`${out}.work`))
})

t.test('a loss that is no number stops the run with step, part and faces', async t => {
  const out = join(dir, 'diverged')
  const overlay = { learningRate: 3e38, losses: { crossEntropy: 100 } }
  const { code, failure } = await run(teacherOf(overlay), { ...labelledOnly, out })
  t.equal(code, 1)
  t.match(failure, {
    kind: 'StageError',
    message:
      'step 1: the loss cross-entropy is NaN; lower the learning rate or look at the faces named',
    part: 'cross-entropy',
  })
  const { step, faceIds } = failure as { step: number; faceIds: string[] }
  t.equal(step, 1)
  t.equal(faceIds.length, 8)
  t.ok(faceIds.every(id => needed.includes(id)))
  const total = await run(teacherOf({ losses: { crossEntropy: 1e39 } }), { ...labelledOnly, out })
  t.match(total.failure['message'], /^step 0: the loss total is Infinity;/)
  t.notOk(existsSync(out))
})

t.test('weights that diverged behind a finite loss are found at the end of the epoch', async t => {
  const out = join(dir, 'hidden')
  const { code, failure } = await run(teacherOf({ learningRate: 3e38 }), { ...labelledOnly, out })
  t.equal(code, 1)
  t.match(failure, {
    kind: 'StageError',
    message:
      'step 1: trunk.conv2d_1a.conv.weight holds no numbers any more; lower the learning rate',
    part: 'trunk.conv2d_1a.conv.weight',
  })
  t.notOk(existsSync(out))
})

t.test('inputs that nothing can be learned from are named', async t => {
  const out = join(dir, 'nothing')
  const few = {
    unlabelled: await drawFaces(join(dir, 'unlabelled'), { train: 2 }),
    judged: await drawFaces(join(dir, 'judged'), {
      train: 3,
      rows: rows.slice(0, 1),
      split: 'test',
    }),
    test: await drawFaces(join(dir, 'test'), { train: 0, test: 2 }),
    foreign: await drawFaces(join(dir, 'foreign'), { train: 2, rows: [[0, 1, 9]] }),
  }
  for (const [change, message] of [
    [{ affectnet: few.unlabelled }, /^the stream labelled has no training faces$/],
    [{ fec: few.test }, /^the stream fec has no training faces$/],
    [{ fec: few.unlabelled }, /unlabelled: found faces, wanted triplets v1; rebuild/],
    [{ fec: few.judged }, /judged: no training triplets, wanted at least one; rebuild/],
    [
      { fec: few.foreign },
      /foreign: triplet foreign:train-0 names face foreign-9, which is not among its 2 training f/,
    ],
  ] as const) {
    const { code, failure } = await run(teacherOf(), { ...labelledOnly, ...change, out })
    t.equal(code, 1)
    t.match(failure['message'], message)
  }
})

t.test('--set changes settings, --run writes beside the others', async t => {
  const out = join(dir, 'settings')
  const options = { ...distilled, out, run: 'regression', stopAfter: 1 }
  const set = 'distillation=smooth-l1,losses.direct=2,teachers=[0],network.heads.distill=3,epochs=1'
  t.equal((await run(studentOf(), { ...options, set, stopAfter: 0 })).code, 0)
  const { metadata } = (await openArtifact(`${out}-regression`, 'checkpoint')).manifest
  t.match(metadata, { experiment: { distillation: 'smooth-l1', teachers: [0], epochs: 1 } })
  for (const [wrong, message] of [
    ['epoch=3', /^epoch: no such setting/],
    ['epochs', /^--set: found epochs, wanted key=value/],
    ['teachers=[2]', /targets: has the targets of 2 teachers, wanted number 2 of them/],
    ['teachers=[0]', /^targets are 3 wide \(3\), the distillation head 6; set it with: --set=/],
    ['distillation=kl-divergence,batch.unlabelled=0', /^stopped after step 1/],
  ] as const)
    t.match(
      (await run(studentOf(), { ...options, run: 'x', set: wrong })).failure['message'],
      message,
    )
  t.match(
    (await run(studentOf(), { ...options, run: 'a/b' })).failure['message'],
    /^--run: found a\/b/,
  )
  const { powder: _, ...rest } = options
  t.match((await run(studentOf(), rest)).failure['message'], /^--powder is missing: the experiment/)
})

t.test('--plan times real steps and shows counts beside the published ones', async t => {
  const out = join(dir, 'planned')
  const refused = await run(studentOf(), { ...distilled, out, plan: true })
  t.match(
    refused.failure['message'],
    /^counts beside .*: affectnet: training faces of neutral 1 \(74874\), .*; fec: training triplets 5 \(223268 to 449142\); look at .* --any-counts$/,
  )
  const { code, said } = await run(studentOf(), { ...distilled, out, plan: true, anyCounts: true })
  t.equal(code, 0)
  t.same(said[1], { event: 'class', name: 'happy', found: 1, published: 134415 })
  const { of, low, high } = said.find(({ event }) => event === 'triplets published')!
  t.same([of, low, high], ['the public list', 446535, 449142])
  t.match(
    said.find(({ event }) => event === 'unlabelled'),
    { found: 3, published: /1,000,000/ },
  )
  const plan = said.at(-1)!
  t.match(plan, { event: 'plan', steps: 4, timed: 20 })
  for (const name of ['secondsPerStep', 'days', 'memoryGiB', 'diskGiB', 'diskFreeGiB'])
    t.ok(Number(plan[name]) > 0, name)
  t.notOk(existsSync(out) || existsSync(`${out}.plan`))
})

t.test("a run's page draws every loss, escapes everything and has no script", async t => {
  const page = await readFile(join(dir, 'student', 'report.html'), 'utf8')
  for (const name of ['total', 'triplet', 'cross-entropy', 'rkd-distance', 'rkd-angle'])
    t.match(page, new RegExp(`<figcaption>${name}: [\\d.]+ to [\\d.]+</figcaption>`))
  t.match(page, /<dt>losses\.rkdAngle<\/dt>\s*<dd class="">50<\/dd>/)
  t.notMatch(page, /<script|https?:/)
  const hostile = '<img src=x onerror=alert(1)>'
  t.match(page, /<dt>state<\/dt>\s*<dd class="">finished: step 4 of 4<\/dd>/)
  const { settings } = JSON.parse(
    await readFile(join(dir, 'student', 'run.json'), 'utf8'),
  ) as RunRecord
  const curves = openRunCurves()
  curves.step({ step: 0, [hostile]: NaN })
  const place = { step: 1, steps: 4, state: { stopped: hostile }, best: null }
  const facts = { run: place, settings: { ...settings, backend: hostile }, curves }
  const one = renderRun({ ...facts, time: new Date() })
  t.notMatch(one, hostile)
  t.match(one, /<dd class="">stopped at step 1 of 4<\/dd>/)
  const run: RunPlace = { ...place, saved: 1, state: 'going on' }
  const goingOn = renderRun({ ...facts, run, time: new Date('2026-01-02T03:04:05Z') })
  t.match(
    goingOn,
    /at step 1 of 4<.*>2026-01-02 03:04 UTC, and at every checkpoint<.* behind step 1</s,
  )
  t.match(one, '&lt;img src=x onerror=alert(1)&gt;: nothing recorded')
})

t.test('every experiment of configs is as it says, at full and at smoke size', async t => {
  const files = (await readdir(new URL('../configs', import.meta.url))).sort()
  t.same(
    stages
      .flatMap(({ name, options }) => ('overlay' in options ? [`${name.slice(6)}.ts`] : []))
      .sort(),
    files,
  )
  for (const file of files) {
    const { default: own } = (await import(`../configs/${file}`)) as { default: ExperimentFile }
    for (const experiment of [
      own.experiment,
      withOverlay(own.experiment, own.overlays['smoke'] ?? {}),
    ]) {
      const widths = isDistilled(experiment)
        ? experiment.teachers.flatMap(() => [32, 8])
        : undefined
      t.ok(lossesOf(experiment, widths).some(({ weight }) => weight > 0))
      t.ok(describeNetwork(toNetwork(experiment.network)).parameters.length > 0, file)
    }
  }
})
