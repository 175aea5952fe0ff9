// tap: test/predict.test.ts covers src/predict.ts, src/target-layout.ts
import { join } from 'node:path'
import { openRandom, runStage, silentLog, type Log, type Stage } from '@deepfever/core'
import { faces, openArtifact, targets, writeArtifact, type Target } from '@deepfever/formats'
import { decodePicture, encodeJpeg, mirror, type Picture } from '@deepfever/media'
import {
  formulaWeights,
  openCheckpoint,
  toNetwork,
  writeCheckpoint,
  type NetworkSpecification,
} from '@deepfever/models'
import { forward, loadParameters } from '@deepfever/models/tfjs'
import { openBackend, tf } from '@deepfever/runtime'
import t from 'tap'
import { layoutOf, predict, putBlock } from '../src/index.ts'

await openBackend({ prefer: 'portable' })

const SIZE = 80
/** One full block of faces and a part of another, then an artifact of two. */
const COUNTS = { some: 34, more: 2 }
const WIDTH = 6 + 4 + 5 + 4

const teacher = (fec: number, affectnet: number): NetworkSpecification => ({
  kind: 'teacher',
  trunk: { cut: 'repeat_2', width: 0.04, repeats: [1, 1, 1] },
  neck: { reduce: 8, layers: 1, growth: 4, bottleneck: 1 },
  embedding: 8,
  heads: { fec, affectnet },
  dropout: 0.1,
  size: SIZE,
})
const student: NetworkSpecification = {
  kind: 'student',
  backbone: { kind: 'densenet', growth: 4, blocks: [1, 1], stem: 4, bottleneck: 1 },
  projection: 'linear',
  embedding: 4,
  heads: { fec: 3, affectnet: 3 },
  dropout: 0,
  size: SIZE,
}

const spec = (out: string, kind: string) => ({
  ...{ out, kind, stage: `draw ${kind}`, behaviour: 1, identity: {}, inputs: [] },
  terms: [{ licence: `of ${kind}`, consent: 'none needed', contact: '' }],
})

async function drawCheckpoint(out: string, specification: NetworkSpecification) {
  const state = formulaWeights(toNetwork(specification), out.split('/').at(-1)!)
  await writeArtifact(spec(out, 'checkpoint'), silentLog, write =>
    writeCheckpoint(write, specification, state),
  )
  return out
}

function drawPicture(name: string, size: number): Promise<Uint8Array> {
  const random = openRandom(name)
  const slope = [0, 1, 2].map(() => [random.below(256), random.below(4) - 2, random.below(4) - 2])
  const data = Uint8Array.from({ length: size * size * 3 }, (_, i) => {
    const [base, right, down] = slope[i % 3]!
    const at = Math.floor(i / 3)
    return Math.max(0, Math.min(255, base! + right! * (at % size) + down! * Math.floor(at / size)))
  })
  return encodeJpeg({ width: size, height: size, data })
}

async function drawFaces(out: string, count: number, size = SIZE) {
  const name = out.split('/').at(-1)!
  await writeArtifact(spec(out, 'faces'), silentLog, async write => {
    for (let i = 0; i < count; i++) {
      const frameId = `${name}@${i}`
      const face = { faceId: `${frameId}#0`, frameId, source: name, cropKind: 'given' }
      const found = { box: new Float32Array(4), landmarks: new Float32Array(10), probability: 1 }
      const crop = await drawPicture(frameId, size)
      await write.append(faces, { ...face, ...found, label: -1, split: '', crop })
      write.accept()
      await write.done(frameId)
    }
  })
  return out
}

const dir = t.testdir({})
const place = {
  one: await drawCheckpoint(join(dir, 'one'), teacher(6, 4)),
  two: await drawCheckpoint(join(dir, 'two'), teacher(5, 4)),
  some: await drawFaces(join(dir, 'some'), COUNTS.some),
  more: await drawFaces(join(dir, 'more'), COUNTS.more),
}

/** Runs the stage as the command line does; gives its exit code and what it said. */
async function run(options: Readonly<Record<string, string | number>>) {
  const said: string[] = []
  const log: Log = {
    ...silentLog,
    event: (event, fields) => void said.push([event, fields?.['message']].join(' ').trim()),
  }
  const flags = Object.entries(options).map(([key, value]) => `--${key}=${value}`)
  const terminal = { log, signal: new AbortController().signal }
  return { code: await runStage(predict as unknown as Stage, flags, terminal, () => {}), said }
}

/** The teachers' heads on pictures by the training engine, each of length 1, side by side. */
async function evaluate(pictures: readonly Picture[]): Promise<number[][]> {
  const rows = pictures.map((): number[] => [])
  for (const { network, state } of [
    await openCheckpoint(place.one),
    await openCheckpoint(place.two),
  ]) {
    const { mean, std } = network.normalisation
    const values = pictures.flatMap(({ data }) =>
      Array.from(data, (value, i) => (value - mean[i % 3]!) / std[i % 3]!),
    )
    const { outputs } = tf.tidy(() => {
      const images = tf.tensor4d(values, [pictures.length, SIZE, SIZE, 3])
      return { outputs: forward(network, images, loadParameters(network, state)).outputs }
    })
    for (const head of ['fec', 'affectnet']) {
      const vectors = (await outputs[head]!.array()) as number[][]
      vectors.forEach((vector, row) => {
        const length = Math.hypot(...vector)
        rows[row]!.push(...vector.map(value => value / length))
      })
    }
  }
  return rows
}

const differenceOf = (a: ArrayLike<number>, b: ArrayLike<number>): number =>
  Math.max(...Array.from(a, (value, i) => Math.abs(value - b[i]!)))

t.test("every face twice, as the training engine sees it; workers don't matter", async t => {
  const out = join(dir, 'targets')
  const options = {
    faces: `${place.some},${place.more}`,
    teachers: `${place.one},${place.two}`,
    out,
  }
  t.equal((await run({ ...options, workers: 1 })).code, 0)
  const { manifest, digest, ...artifact } = await openArtifact(out, 'targets')
  const rows: Target[] = []
  for await (const row of artifact.rows(targets)) rows.push(row)
  const ids = Object.entries(COUNTS).flatMap(([name, count]) =>
    Array.from({ length: count }, (_, i) => `${name}@${i}#0`),
  )
  t.same(
    rows.map(({ faceId, view }) => `${faceId} ${view}`),
    ids.flatMap(id => [`${id} plain`, `${id} flipped`]),
  )
  t.same(
    manifest.terms.map(({ licence }) => licence),
    ['of checkpoint', 'of faces'],
  )
  t.match(manifest, {
    ledger: { inputs: 36, outputs: 36, rejects: {} },
    metadata: {
      width: WIDTH,
      blocks: [
        { head: 'fec', start: 0, width: 6 },
        { head: 'affectnet', start: 6, width: 4 },
        { head: 'fec', start: 10, width: 5 },
        { head: 'affectnet', start: 15, width: 4 },
      ],
    },
  })
  const { blocks } = manifest.metadata as { blocks: ReturnType<typeof layoutOf> }
  for (const [teacher, part] of [
    [place.one, blocks.slice(0, 2)],
    [place.two, blocks.slice(2)],
  ] as const) {
    const wanted = (await openCheckpoint(teacher)).digest
    t.same(
      part.map(block => block.teacher),
      [wanted, wanted],
    )
  }
  const worst = Math.max(
    ...rows.flatMap(({ target }) =>
      blocks.map(({ start, width }) =>
        Math.abs(Math.hypot(...target.subarray(start, start + width)) - 1),
      ),
    ),
  )
  t.ok(worst < 1e-6, `every block has length 1, off by ${worst}`)

  const chosen = ['some@0', 'some@31', 'some@33', 'more@1']
  const plain = await Promise.all(
    chosen.map(async frameId => decodePicture(await drawPicture(frameId, SIZE))),
  )
  const wanted = { plain: await evaluate(plain), flipped: await evaluate(plain.map(mirror)) }
  for (const [i, frameId] of chosen.entries()) {
    for (const view of ['plain', 'flipped'] as const) {
      const found = rows.find(row => row.faceId === `${frameId}#0` && row.view === view)!
      const difference = differenceOf(found.target, wanted[view][i]!)
      t.ok(difference < 1e-4, `${frameId} ${view}: off by ${difference}`)
    }
    t.ok(differenceOf(wanted.plain[i]!, wanted.flipped[i]!) > 1e-3, 'the views differ')
  }

  t.same((await run(options)).said, ['up to date'])
  t.equal((await run({ ...options, workers: 2, force: 'true' })).code, 0)
  t.equal((await openArtifact(out, 'targets')).digest, digest)
})

t.test('the flipped view is the plain view of the mirrored crop', async t => {
  // A crop that is its own mirror image once decoded: both views are the same vector.
  const symmetric = join(dir, 'symmetric')
  await writeArtifact(spec(symmetric, 'faces'), silentLog, async write => {
    const half = await decodePicture(await drawPicture('half', SIZE))
    const data = half.data.map((value, i) => {
      const x = Math.floor(i / 3) % SIZE
      return x < SIZE / 2 ? value : half.data[i + (SIZE - 1 - 2 * x) * 3]!
    })
    const crop = await encodeJpeg({ ...half, data }, 100)
    const { data: decoded } = await decodePicture(crop)
    t.same(mirror({ ...half, data: decoded }).data, decoded, 'the JPEG kept the symmetry')
    const found = { box: new Float32Array(4), landmarks: new Float32Array(10), probability: 1 }
    const names = { faceId: 'a#0', frameId: 'a', source: 'a', cropKind: 'given', split: '' }
    await write.append(faces, { ...names, ...found, label: -1, crop })
    write.accept()
    await write.done('a')
  })
  const out = join(dir, 'symmetric-targets')
  t.equal((await run({ faces: symmetric, teachers: place.one, out })).code, 0)
  const rows: Target[] = []
  for await (const row of (await openArtifact(out, 'targets')).rows(targets)) rows.push(row)
  t.same(rows[0]!.target, rows[1]!.target)
})

t.test('what cannot be asked says which place, what is there and what was wanted', async t => {
  const out = join(dir, 'none')
  const blind = await drawCheckpoint(join(dir, 'blind'), teacher(6, 0))
  const other = await drawCheckpoint(join(dir, 'student'), student)
  const good = { faces: place.more, teachers: place.one, out }
  for (const [change, message] of [
    [{ teachers: `${place.one},${blind}` }, /blind: the teacher has no affectnet head$/],
    [{ teachers: other }, /student: found a student, wanted a teacher$/],
    [{ teachers: place.more }, /more: found a faces artifact .* wanted checkpoint$/],
    [{ faces: place.one }, /one: found a checkpoint artifact .* wanted faces$/],
    [{ faces: join(dir, 'gone') }, /gone: no manifest\.json, wanted a faces artifact$/],
  ] as const) {
    const { code, said } = await run({ ...good, ...change })
    t.equal(code, 1)
    t.match(said, [message])
  }
  t.throws(() => layoutOf([]), {
    name: 'StageError',
    message: 'no teacher given; wanted at least one',
  })
})

t.test('a vector of zeros stays zeros', async t => {
  const row = new Float32Array(5)
  const block = { teacher: 'a', head: 'fec', start: 1, width: 3 } as const
  putBlock([row], block, new Float32Array(3))
  t.same([...row], [0, 0, 0, 0, 0])
  putBlock([row], block, Float32Array.of(0, 3, 4))
  t.same([...row], [0, 0, 0.6, 0.8, 0].map(Math.fround))
})
