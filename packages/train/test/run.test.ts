// tap: test/run.test.ts covers src/run.ts, src/training-loop.ts, src/experiment.ts, src/order.ts, src/batches.ts, src/crops.ts, src/loss-sum.ts, src/training-data.ts, src/decoded-crops.ts, src/finite.ts, src/run-log.ts, src/result.ts
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { silentLog, type Stage } from '@deepfever/core'
import { openArtifact, targets, writeArtifact } from '@deepfever/formats'
import { TEACHER, openCheckpoint } from '@deepfever/models'
import t from 'tap'
import teacher256 from '../configs/teacher256.ts'
import { openBatches, stepsPerEpoch } from '../src/batches.ts'
import type { TrainingData } from '../src/training-data.ts'
import { withOverlay, type ExperimentFile, type Overlay } from '../src/experiment.ts'
import { isFlipped, openOrder } from '../src/order.ts'
import { studentStage, teacherStage } from '../src/run.ts'
import { SIZE, drawCrop, drawFaces, drawTargets, spec } from './drawn-inputs.ts'
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
    losses: { triplet: 1, crossEntropy: 0.1, rkdDistance: 0, rkdAngle: 0 },
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
  studentStage('tiny', {
    ...tinyStudent,
    experiment: withOverlay(tinyStudent.experiment, overlay),
  }) as Stage
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

t.test('every pass is a permutation of its own, a function of name and pass alone', async t => {
  const passOf = (order: (n: number) => number, pass: number) =>
    Array.from({ length: 20 }, (_, i) => order(pass * 20 + i))
  const order = openOrder('7/triplets', 20)
  const [first, second] = [passOf(order, 0), passOf(order, 1)]
  const all = [...Array(20).keys()]
  for (const pass of [first, second])
    t.same(
      [...pass].sort((a, b) => a - b),
      all,
    )
  t.notSame(first, second)
  t.notSame(first, all)
  t.same(passOf(order, 0), first, 'going back gives the same')
  t.same(passOf(openOrder('7/triplets', 20), 1), second, 'no pass has to run before another')
  t.notSame(passOf(openOrder('8/triplets', 20), 0), first)
  const heads = Array.from({ length: 1000 }, (_, n) => isFlipped('7', n)).filter(Boolean).length
  t.ok(heads > 440 && heads < 560, `a fair coin: ${heads} of 1000`)
})

t.test('what is in a batch depends on seed and step, not on what was asked before', async t => {
  const cropOf = async (faceId: string, label = -1) => ({
    ...{ faceId, label, jpeg: await drawCrop(faceId) },
  })
  const fec = await Promise.all(idsOf('fec', 7).map(id => cropOf(id)))
  const data: TrainingData = {
    triplets: rows.map((row, odd) => ({
      crops: row.map(n => fec[n]!) as never,
      odd: odd % 3,
      kind: 'ONE_CLASS_TRIPLET',
    })),
    labelled: await Promise.all(idsOf('affectnet', 8).map(cropOf)),
    unlabelled: await Promise.all(idsOf('powder', 3).map(id => cropOf(id))),
    targetOf: (_, flipped) => Float32Array.of(flipped ? 1 : 0),
  }
  t.equal(
    stepsPerEpoch(data, tinyStudent.experiment),
    2,
    'the fifth triplet waits for another epoch',
  )
  const one = openBatches(data, tinyStudent.experiment)
  const batches = [await one(0), await one(1), await one(2)]
  const two = openBatches(data, tinyStudent.experiment)
  const [late, early] = await Promise.all([two(2), two(0)])
  t.same([early, late], [batches[0], batches[2]])
  const other = await openBatches(data, { ...tinyStudent.experiment, seed: 8 })(0)
  t.notSame(other.faceIds, early.faceIds)

  for (const { faceIds, images, odd, margin, labels, mask, targets = [] } of batches) {
    t.same([faceIds.length, odd.length, margin.length, labels.length], [10, 2, 2, 3])
    for (const [i, at] of [0, 3].entries()) {
      const numbers = faceIds.slice(at, at + 3).map(id => Number(id.slice(4)))
      t.ok(
        rows.some((row, n) => row.join() === numbers.join() && n % 3 === odd[i]),
        `${faceIds.slice(at, at + 3).join(' ')} is a triplet with its odd face`,
      )
    }
    t.same(margin, [0.1, 0.1])
    t.same(
      labels,
      faceIds.slice(6, 9).map(id => Number(id.slice(10))),
    )
    t.same([...new Set(mask)].sort(), [0, 1.25])
    // The left column is the brighter one unless the face is mirrored, and its target with it.
    const mirrored = faceIds.map((_, row) => {
      const at = row * SIZE * SIZE * 3
      return images[at]! < images[at + (SIZE - 1) * 3]! ? 1 : 0
    })
    t.same([...targets], mirrored)
  }
  const flips = batches.flatMap(({ targets = [] }) => [...targets])
  t.ok(flips.includes(0) && flips.includes(1))
  const epoch = batches.slice(0, 2).flatMap(({ faceIds }) => [faceIds[0], faceIds[3]])
  t.equal(new Set(epoch).size, 4, 'no triplet comes twice in an epoch')

  const kind = 'FOUR_CLASS_TRIPLET'
  const unknown = { ...data, triplets: data.triplets.map(triplet => ({ ...triplet, kind })) }
  await t.rejects(openBatches(unknown, tinyStudent.experiment)(0), {
    name: 'UsageError',
    message: `triplets of kind ${kind} have no margin; the experiment has ONE_CLASS_TRIPLET, TWO_CLASS_TRIPLET, THREE_CLASS_TRIPLET`,
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
  t.same((await openCheckpoint(out, 'student')).specification, tinyStudent.experiment.network)

  t.same((await run(studentOf(), { ...distilled, out })).events, ['up to date'])
  const again = join(dir, 'again')
  t.equal((await run(studentOf(), { ...distilled, out: again })).code, 0)
  t.equal((await openArtifact(again, 'checkpoint')).digest, artifact.digest)
  const smoke = { ...distilled, out: again, overlay: 'smoke', seed: 8 }
  t.match((await run(studentOf(), smoke)).said[0], { event: 'training', steps: 2 })
  const { metadata } = (await openArtifact(again, 'checkpoint')).manifest
  t.match(metadata, { experiment: { epochs: 1, batchNormBatches: 'per-dataset', seed: 8 } })
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
