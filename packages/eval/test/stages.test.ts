// tap: test/stages.test.ts covers src/stages/*.ts src/probe.ts
import { readFile, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { openRandom, runStage, silentLog, type Log, type Stage } from '@deepfever/core'
import {
  faces,
  judgements,
  openArtifact,
  triplets,
  writeArtifact,
  type Face,
} from '@deepfever/formats'
import { encodeJpeg } from '@deepfever/media'
import {
  initialise,
  toNetwork,
  writeCheckpoint,
  type NetworkSpecification,
} from '@deepfever/models'
import t, { type Test } from 'tap'
import type { Report } from '../src/report.ts'
import { stages } from '../src/stages/index.ts'

const SIZE = 32
const TRAINING = { recipe: 'f'.repeat(64), seed: 3 }
const tiny: NetworkSpecification = {
  kind: 'student',
  backbone: { kind: 'densenet', growth: 4, blocks: [1, 1, 1, 1], stem: 8, bottleneck: 2 },
  projection: 'convolution',
  embedding: 16,
  heads: { fec: 8, affectnet: 8, distill: 8 },
  dropout: 0.2,
  size: SIZE,
}

/** A crop whose colour says its class. */
function drawCrop(name: string, label: number): Promise<Uint8Array> {
  const random = openRandom(name)
  const data = Uint8Array.from({ length: SIZE * SIZE * 3 }, (_, i) =>
    Math.min(255, random.below(60) + ((label >> (i % 3)) & 1) * 180),
  )
  return encodeJpeg({ width: SIZE, height: SIZE, data })
}

const spec = (out: string, kind: string) => ({
  out,
  kind,
  stage: `draw ${kind}`,
  behaviour: 1,
  identity: {},
  inputs: [],
  terms: [{ licence: `of ${kind}`, consent: 'none needed', contact: '' }],
})

/** @param copied test faces whose picture stands in training too */
async function drawArtifacts(
  dir: string,
  classes: number,
  testSplit: string,
  copied: readonly string[] = [],
) {
  const places = { checkpoint: join(dir, 'checkpoint'), faces: join(dir, 'faces') }
  const state = initialise(toNetwork(tiny), 'stages')
  await writeArtifact(spec(places.checkpoint, 'checkpoint'), silentLog, write => {
    write.describe({ training: TRAINING })
    return writeCheckpoint(write, tiny, state)
  })
  await writeArtifact(spec(places.faces, 'faces'), silentLog, async write => {
    const put = async (name: string, part: Partial<Face>) => {
      const row: Face = {
        faceId: name,
        frameId: name,
        source: `${name}.jpg`,
        box: Float32Array.of(0, 0, SIZE, SIZE),
        landmarks: new Float32Array(10),
        probability: 1,
        cropKind: 'given',
        label: -1,
        split: '',
        crop: Buffer.from('not a crop'),
        ...part,
      }
      await write.append(faces, row)
      write.accept()
      await write.done(name)
    }
    for (const [split, count] of [
      ['train', 8],
      [testSplit, 4],
    ] as const)
      for (let i = 0; i < count * classes; i++) {
        const label = i % classes
        const crop = await drawCrop(`${split}-${i}`, label)
        const name = `${split}-${i}`
        await put(name, { label, split, crop })
        if (copied.includes(name)) await put(`copy of ${name}`, { label, split: 'train', crop })
      }
    await put('broken', { label: 0, split: 'train' })
    await put('unlabelled', { split: 'train' })
    await put('elsewhere', { label: 0, split: 'other' })
    for (let i = 0; i < 8; i++)
      await write.append(triplets, {
        tripletId: `test-${i}`,
        first: `${testSplit}-0`,
        second: i === 7 ? 'broken' : `${testSplit}-${classes}`,
        third: `${testSplit}-${1 + (i % 3)}`,
        odd: 2,
        kind: i % 2 ? 'ONE_CLASS_TRIPLET' : 'TWO_CLASS_TRIPLET',
        votesFor: 6,
        votesTotal: 6,
        split: i === 6 ? 'train' : 'test',
      })
  })
  return places
}

const stageOf = (name: string): Stage => stages.find(stage => stage.name === name) as Stage

async function run(name: string, options: Record<string, string>, log: Log = silentLog) {
  const kept = name === 'eval explain' ? {} : { cache: join(t.testdirName, 'cache') }
  const flags = Object.entries({ ...kept, ...options }).map(([key, value]) => `--${key}=${value}`)
  const terminal = { log, signal: new AbortController().signal }
  return runStage(stageOf(name), flags, terminal, text => t.comment(text))
}

async function readReport(out: string): Promise<Report> {
  const artifact = await openArtifact(out, 'report')
  return JSON.parse(Buffer.from(await artifact.file('report.json')).toString()) as Report
}

const failureOf = async (t: Test, name: string, options: Record<string, string>) => {
  const events: string[] = []
  const log: Log = {
    ...silentLog,
    event: (_, fields) => void events.push(String(fields?.['message'])),
  }
  t.equal(await run(name, options, log), 1)
  return events.join('\n')
}

t.test('a RAF probe reports itself, the untrained network and where faces went', async t => {
  const dir = t.testdir({})
  const places = await drawArtifacts(dir, 7, 'test')
  const out = join(dir, 'raf')
  const options = {
    ...places,
    out,
    baseline: 'untrained',
    banner: 'Smoke: drawn data',
    workers: '3',
  }
  t.equal(await run('eval raf', options), 0)
  const report = await readReport(out)
  t.ok(report.headline.value! > 0.5, `colours are easy: ${report.headline.value}`)
  t.equal(report.headline.n, 28)
  t.equal(report.probe?.trainRows, 56)
  t.same(report.training, TRAINING, 'the run behind the extractor')
  t.same(
    report.beside.map(({ label }) => label),
    [
      'Accuracy, converged',
      'Balanced accuracy',
      'Mean F1',
      'Accuracy, nearest neighbours',
      'Untrained network',
    ],
  )
  t.same(report.ledger, {
    inputs: 87,
    outputs: 84,
    rejects: {
      not_a_picture: { count: 1, example: 'broken' },
      no_label: { count: 1, example: 'unlabelled' },
      other_split: { count: 1, example: 'elsewhere' },
    },
  })
  t.equal(report.banner, 'Smoke: drawn data')
  t.equal(report.configuration['penalty'], 10_000)
  t.match(await readFile(join(out, 'report.html'), 'utf8'), 'Smoke: drawn data')
  const { digest, manifest } = await openArtifact(out, 'report')
  const licences = manifest.terms.map(({ licence }) => licence)
  t.same(licences, ['of checkpoint', 'of faces'], 'the terms of all inputs')
  t.equal(await run('eval raf', { ...options, workers: '1', force: '' }), 0)
  t.equal((await openArtifact(out, 'report')).digest, digest, 'workers do not change a byte')
})

t.test(
  'one face is explained: origin, triplets, batches, prediction, neighbours, crop',
  async t => {
    const dir = t.testdir({})
    const places = await drawArtifacts(dir, 7, 'test')
    const [report, cache] = [join(dir, 'raf'), join(dir, 'kept')]
    t.equal(await run('eval raf', { ...places, out: report, cache }), 0)
    const [kept] = (await readdir(cache)).filter(name => !name.startsWith('pictures'))
    const write = process.stdout.write.bind(process.stdout)
    let said = ''
    process.stdout.write = text => {
      said += String(text)
      return true
    }
    const { faces: place } = places
    const crop = join(dir, 'crop.jpg')
    const features = join(cache, kept!)
    const { checkpoint } = places
    const options = { id: 'test-1', faces: place, checkpoint, report, features, crop }
    const code = await run('eval explain', options).finally(() => {
      process.stdout.write = write
    })
    t.equal(code, 0)
    t.match(
      said,
      /source {5}test-1.jpg\n.*\nbox {8}0.0, 0.0 to 32.0, 32.0 \(given, .*\nlabel {6}1, test/,
    )
    t.match(said, /triplet {4}test-0: odd, 6 of 6 votes/)
    t.match(said, /prediction \w+ at [0-9.]+ %, (right|wrong)/)
    t.equal(said.match(/^neighbour /gm)?.length, 5)
    t.same((await readFile(crop)).subarray(0, 3), Buffer.from([0xff, 0xd8, 0xff]))
    t.match(
      said,
      /batches {4}unknown: .*checkpoint does not say which faces it used; train it again/,
    )
    t.match(
      await failureOf(t, 'eval explain', { id: 'none', faces: place }),
      /no face none; its ids/,
    )
  },
)

t.test('AffectNet with 7 classes leaves contempt out and weights rows by class', async t => {
  const dir = t.testdir({})
  const places = await drawArtifacts(dir, 8, 'val')
  const out = join(dir, 'affectnet')
  t.equal(await run('eval affectnet', { ...places, out, classes: '7', codes: 'true' }), 0)
  const report = await readReport(out)
  t.equal(report.title, 'AffectNet probe, 7 classes')
  t.equal(report.ledger.rejects['class_left_out']?.count, 12)
  t.equal(report.probe?.stopped.confusion.length, 7)
  t.equal(report.beside.at(-1)?.value, 0.654, 'published, since there is no banner')
  t.match(report.codes, { measure: 'Accuracy', points: [{ bytes: 1, recall: Number }] })
  const page = Buffer.from(await (await openArtifact(out, 'report')).file('report.html'))
  t.match(page.toString(), /<h2>Bytes a face<\/h2>/)
})

t.test('FEC triplets are judged where all three faces have an embedding', async t => {
  const dir = t.testdir({})
  const places = await drawArtifacts(dir, 4, 'test')
  const out = join(dir, 'fec')
  t.equal(await run('eval fec', { ...places, out, baseline: 'untrained', codes: 'true' }), 0)
  const report = await readReport(out)
  t.equal(report.headline.n, 6)
  t.ok(report.headline.value! > 0.5)
  t.same(report.ledger, {
    inputs: 7,
    outputs: 6,
    rejects: { face_missing: { count: 1, example: 'test-7' } },
  })
  const exact = report.codes?.points.at(-1)
  t.match(report.codes, { measure: 'Triplet accuracy', points: [{ bytes: 1 }] })
  t.match(exact, { accuracy: report.headline.value, recall: 1 }, 'length does not matter')
  t.same(
    report.triplets?.map(({ kind }) => kind),
    ['all', 'ONE_CLASS_TRIPLET', 'TWO_CLASS_TRIPLET'],
  )
})

t.test('a FEC triplet with a face that training shows is left out of the headline', async t => {
  const dir = t.testdir({})
  const places = await drawArtifacts(dir, 4, 'test', ['test-1'])
  const out = join(dir, 'fec')
  t.equal(await run('eval fec', { ...places, out }), 0)
  const report = await readReport(out)
  t.match(report.leakage, {
    ...{ tested: 6, leaked: 1, triplets: 2 },
    examples: [{ test: 'test-1', train: 'copy of test-1' }],
  })
  t.equal(report.headline.n, 4)
  t.match(report.beside[0], { label: 'Triplet accuracy, leaked included', n: 6 })
  t.match(report.triplets?.[0], { kind: 'all', n: 4, missing: 1, leaked: 2 })
  const leaked: string[] = []
  for await (const row of (await openArtifact(out, 'report')).rows(judgements))
    if (row.leaked === 1) leaked.push(row.id)
  t.same(leaked, ['test-0', 'test-3'])
  t.match(await readFile(join(out, 'report.html'), 'utf8'), /1 of 6 test faces.*; 2 triplets/s)
  const without = join(dir, 'without')
  t.equal(await run('eval fec', { ...places, out: without, leakage: 'false' }), 0)
  t.match(await readReport(without), { leakage: null, headline: { n: 6 } })
})

t.test('what cannot be judged is said with place, found and remedy', async t => {
  const dir = t.testdir({})
  const places = await drawArtifacts(dir, 2, 'val')
  const out = join(dir, 'out')
  const raf = await failureOf(t, 'eval raf', { ...places, out })
  t.match(
    raf,
    /faces: no labelled face of split test \(train 16, test 0\), wanted faces labelled 0 to 6/,
  )
  const teacher = await failureOf(t, 'eval raf', { ...places, out, network: 'teacher' })
  t.match(teacher, /checkpoint: found a student, wanted a teacher/)
  const swapped = await failureOf(t, 'eval fec', {
    checkpoint: places.faces,
    faces: places.faces,
    out,
  })
  t.match(swapped, /found a faces artifact .* wanted checkpoint/)
})
