// tap: test/stages.test.ts covers src/faces-stage.ts, src/faces-writer.ts, src/clip-faces.ts, src/labelled-stages.ts, src/gallery.ts
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { openRandom, runStage, silentLog, type Log, type Stage } from '@deepfever/core'
import {
  annotations,
  clips,
  encodeNpy,
  faces,
  frames,
  openArtifact,
  triplets,
  writeArtifact,
  type Annotation,
  type Face,
  type Triplet,
} from '@deepfever/formats'
import { CROP_SIZE, extractFace, facesOf, type Detection } from '@deepfever/faces'
import { decodePicture, encodeJpeg, readPicture, resizePicture } from '@deepfever/media'
import type { Picture } from '@deepfever/media'
import t from 'tap'
import { stages } from '../src/index.ts'

const photo = async (name: string, side: number): Promise<Picture> => {
  const path = fileURLToPath(new URL(`../../../datasets/demo/photos/${name}`, import.meta.url))
  const whole = await readPicture(path)
  return resizePicture(whole, side, Math.round((side * whole.height) / whole.width))
}
const noise = (name: string, width: number, height: number): Picture => {
  const random = openRandom(name)
  const data = Uint8Array.from({ length: width * height * 3 }, () => random.below(256))
  return { width, height, data }
}

/** A face of about 100 pixels in 256 x 256, and the same photograph where it has 30. */
const astronaut = await photo('astronaut.png', 256)
const portrait = await encodeJpeg(astronaut)
const distant = await encodeJpeg(await photo('astronaut.png', 72))
const empty = await encodeJpeg(noise('no face', 64, 48))

const spec = (out: string, kind: string) => ({
  ...{ out, kind, stage: `draw ${kind}`, behaviour: 1, identity: {}, inputs: [] },
})

/** Runs a stage as the command line does; gives its exit code and what it said. */
async function run(name: string, options: Readonly<Record<string, string | number>>) {
  const said: string[] = []
  const log: Log = {
    ...silentLog,
    event: (event, fields) => void said.push([event, fields?.['message']].join(' ').trim()),
  }
  const stage = stages.find(each => each.name === name) as unknown as Stage
  const flags = Object.entries(options).map(([key, value]) => `--${key}=${value}`)
  const terminal = { log, signal: new AbortController().signal }
  return { code: await runStage(stage, flags, terminal, () => {}), said }
}

async function read(out: string): Promise<{ rows: Face[]; ledger: unknown; digest: string }> {
  const { manifest, digest, ...artifact } = await openArtifact(out, 'faces')
  const rows: Face[] = []
  if (manifest.tables['faces']) for await (const row of artifact.rows(faces)) rows.push(row)
  return { rows, ledger: manifest.ledger, digest }
}

const sizeOf = async ({ crop }: Face) => {
  const { width, height } = await decodePicture(crop)
  return [width, height]
}

async function drawFrames(out: string, images: Readonly<Record<string, Uint8Array>>) {
  const byClip = new Map<string, [string, Uint8Array][]>()
  for (const entry of Object.entries(images)) {
    const clipId = entry[0].split('@')[0]!
    byClip.set(clipId, [...(byClip.get(clipId) ?? []), entry])
  }
  await writeArtifact(spec(out, 'frames'), silentLog, async write => {
    for (const [clipId, entries] of byClip) {
      const clipName = '<img onerror=alert(1)>.mp4'
      for (const [index, [frameId, image]] of entries.entries()) {
        const clip = { clipId, clipName, ptsUs: index, index }
        await write.append(frames, { frameId, ...clip, width: 1, height: 1, image })
      }
      await write.append(clips, { clipId, clipName, frames: entries.length, code: '' })
      write.accept()
      await write.done(clipId)
    }
    const [clipName, code] = ['broken & cut.mp4', 'undecodable_clip']
    await write.append(clips, { clipId: 'e', clipName, frames: 0, code })
    write.reject(code, clipName)
    await write.done('broken')
  })
}

t.test('faces of frames: ids, boxes and crops, and a code for every frame without', async t => {
  const dir = t.testdir({})
  const places = { frames: join(dir, 'frames'), out: join(dir, 'faces') }
  const blank = Object.fromEntries(Array.from({ length: 36 }, (_, i) => [`d@${i}`, empty]))
  await drawFrames(places.frames, {
    'a@0': portrait,
    'a@200000': portrait.slice(0, portrait.length >> 1),
    'a@400000': distant,
    'b@0': new Uint8Array(0),
    'b@1': Buffer.from('no picture'),
    'c@1500000': portrait,
    ...blank,
  })
  t.equal((await run('detect faces', { ...places, workers: 1 })).code, 0)
  const { rows, ledger, digest } = await read(places.out)
  t.same(
    rows.map(row => row.faceId),
    ['a@0#0', 'c@1500000#0'],
  )
  t.same(ledger, {
    inputs: 43,
    outputs: 2,
    rejects: {
      empty_file: { count: 1, example: 'b@0' },
      face_too_small: { count: 1, example: 'a@400000#0' },
      no_face: { count: 36, example: 'd@0' },
      not_a_picture: { count: 1, example: 'b@1' },
      truncated_picture: { count: 1, example: 'a@200000' },
      undecodable_clip: { count: 1, example: 'broken & cut.mp4' },
    },
  })
  const [face] = rows as [Face, Face]
  t.match(face, { frameId: 'a@0', source: '<img onerror=alert(1)>.mp4', label: -1, split: '' })
  t.equal(face.cropKind, 'detected')
  t.ok(face.probability > 0.99 && face.probability <= 1, `probability ${face.probability}`)
  const [x1, y1, x2, y2] = face.box as unknown as [number, number, number, number]
  t.ok(x1 > 70 && x2 < 150 && y1 > 10 && y2 < 110 && x2 - x1 > 35, `box ${[...face.box].join()}`)
  for (let i = 0; i < 10; i += 2) {
    const [x, y] = [face.landmarks[i]!, face.landmarks[i + 1]!]
    t.ok(x > x1 && x < x2 && y > y1 && y < y2, 'a landmark lies in its box')
  }
  t.same(await sizeOf(face), [CROP_SIZE, CROP_SIZE])
  const decoded = await decodePicture(portrait)
  t.same(face.crop, await encodeJpeg(extractFace(decoded, face.box)), 'the crop is its box')

  t.same((await run('detect faces', places)).said, ['up to date'])
  t.equal((await run('detect faces', { ...places, workers: 3, force: 'true' })).code, 0)
  t.equal((await read(places.out)).digest, digest, 'workers do not change a byte')
})

t.test('the gate: what is small or doubtful is no face; a meant face has to be met', async t => {
  const at = (x: number, side: number, probability: number): Detection => ({
    ...{ box: Float32Array.of(x, 0, x + side, side), landmarks: new Float32Array(10), probability },
  })
  const gate = { probability: 0.9, minFace: 20 }
  const answer = (detections: Detection[], box?: [number, number, number, number]) =>
    facesOf({ file: empty, gate, ...(box && { meant: { box } }) }, async () => detections)
  t.same(await answer([]), { rejected: 'no_face' })
  t.same(await answer([at(0, 19, 0.99)]), { rejected: 'face_too_small' })
  t.same(await answer([at(0, 19, 0.99), at(0, 20, 0.89)]), { rejected: 'low_probability' })
  const kept = await answer([at(0, 30, 0.9), at(5, 20, 0.8), at(9, 20, 1)])
  t.match(kept, { faces: [{ box: [0, 0, 30, 30] }, { box: [9, 0, 29, 20] }] })
  // A square of 20 moved by 10 meets a third, moved by 11 less than 0.3.
  t.match(await answer([at(11, 20, 1), at(10, 20, 1)], [0, 0, 20, 20]), {
    faces: [{ cropKind: 'detected', box: [10, 0, 30, 20], probability: 1 }],
  })
  t.match(await answer([at(11, 20, 1)], [0, 0, 20, 20]), {
    faces: [{ cropKind: 'given', box: [0, 0, 20, 20], probability: 0 }],
  })
})

t.test('the gallery is one page of its own, with names as text and what was lost', async t => {
  const dir = t.testdir({})
  const places = { frames: join(dir, 'frames'), faces: join(dir, 'faces') }
  await drawFrames(places.frames, {})
  const source = '<img onerror=alert(1)>.mp4'
  const crop = await encodeJpeg(noise('crop', 8, 8))
  await writeArtifact(spec(places.faces, 'faces'), silentLog, async write => {
    for (let i = 0; i < 450; i++) {
      const frameId = `clip@${i * 500_000}`
      const box = Float32Array.of(0, 0, 8, 8)
      const found = { box, landmarks: new Float32Array(10), probability: 0.987, crop }
      const row = { faceId: `${frameId}#0`, frameId, source, cropKind: 'detected', ...found }
      await write.append(faces, { ...row, label: -1, split: '' })
      write.accept()
      await write.done(frameId)
    }
    write.reject('no_face', '"><script>')
    await write.done('none')
  })
  t.equal((await run('detect gallery', places)).code, 0)
  const page = await readFile(join(`${places.faces}-gallery`, 'gallery.html'), 'utf8')
  const has = (pattern: RegExp) => t.ok(pattern.test(page), String(pattern))
  const count = (pattern: RegExp) => page.match(pattern)?.length
  has(/Content-Security-Policy"\s+content="default-src 'none'; img-src data:/)
  t.notOk(/https?:|<script|<link|url\(|@import/.test(page), 'it loads nothing')
  t.equal(count(/<img/g), 200)
  t.equal(count(/src="data:image\/jpeg;base64,/g), 200, 'all pictures lie in it')
  has(/<h2>&lt;img onerror=alert\(1\)&gt;\.mp4<\/h2>/)
  has(/450 faces/)
  has(/200 of them, evenly spread/)
  has(/no_face<\/th>\s*<td class="n">1<\/td>\s*<td>for example &quot;&gt;&lt;script&gt;</)
  has(/undecodable_clip[^]*for example broken &amp; cut\.mp4/)
  has(/face at 1\.50 s/)
  has(/98\.7 %/)
  t.same((await run('detect gallery', places)).said, ['up to date', 'gallery'])
  const wrong = await run('detect gallery', { faces: places.frames })
  t.equal(wrong.code, 1)
  t.match(wrong.said, [/found a frames artifact \(made by draw frames\), wanted faces/])
})

t.test('AffectNet: the face in its picture, or the whole picture; classes and splits', async t => {
  const note = (label: number) => Buffer.from(encodeNpy({ shape: [], values: [String(label)] }))
  const source = t.testdir({
    train_set: {
      images: {
        '1.jpg': Buffer.from(portrait),
        '2.jpg': Buffer.from(empty),
        '3.jpg': Buffer.from(portrait.slice(0, 3000)),
        '4.jpg': Buffer.from(empty),
      },
      annotations: {
        '1_exp.npy': note(5),
        '1_val.npy': Buffer.from(encodeNpy({ shape: [], values: ['-0.5'] })),
        '2_exp.npy': note(0),
        '3_exp.npy': note(1),
        '4_exp.npy': note(9),
      },
    },
    val_set: {
      images: { '7.jpg': Buffer.from(empty) },
      annotations: { '7_exp.npy': note(7), '8_exp.npy': note(7) },
    },
  })
  const out = join(t.testdirName, 'out/affectnet')
  t.equal((await run('detect affectnet', { source, out })).code, 0)
  const { rows, ledger } = await read(out)
  t.same(
    rows.map(row => [row.faceId, row.cropKind, row.label, row.split, row.source]),
    [
      ['affectnet:train/1#0', 'detected', 5, 'train', 'train_set/images/1.jpg'],
      ['affectnet:train/2#0', 'given', 0, 'train', 'train_set/images/2.jpg'],
      ['affectnet:val/7#0', 'given', 7, 'val', 'val_set/images/7.jpg'],
    ],
  )
  t.same([...rows[1]!.box, rows[1]!.probability], [0, 0, 64, 48, 0], 'the whole picture is given')
  const artifact = await openArtifact(out, 'faces')
  t.same(artifact.manifest.metadata['lost'], { train: [0, 1], val: [0, 0, 0, 0, 0, 0, 0, 1] })
  const beside: Annotation[] = []
  for await (const row of artifact.rows(annotations)) beside.push(row)
  t.match(beside, [{ faceId: 'affectnet:train/1#0', valence: -0.5, arousal: -2 }])
  t.ok(beside.length === 1 && beside[0]!.points.every(value => value === -1))
  for (const row of rows) t.same(await sizeOf(row), [CROP_SIZE, CROP_SIZE])
  t.same(ledger, {
    inputs: 6,
    outputs: 3,
    rejects: {
      missing_picture: { count: 1, example: 'affectnet:val/8' },
      no_expression: { count: 1, example: 'affectnet:train/4' },
      truncated_picture: { count: 1, example: 'train_set/images/3.jpg' },
    },
  })
})

t.test('RAF-DB: aligned pictures as they are, or MTCNN on the original ones', async t => {
  const aligned = await encodeJpeg(await resizePicture(astronaut, 100, 100))
  const picture = Buffer.from(aligned)
  const source = t.testdir({
    EmoLabel: {
      'list_patition_label.txt': 'train_00001.jpg 7\ntrain_00002.jpg 8\ntest_0001.jpg 1',
    },
    Image: {
      aligned: { 'train_00001_aligned.jpg': picture, 'test_0001_aligned.jpg': picture },
      original: { 'train_00001.jpg': Buffer.from(portrait), 'test_0001.jpg': Buffer.from(empty) },
    },
  })
  const out = join(t.testdirName, 'out/raf')
  t.equal((await run('detect raf', { source, out })).code, 0)
  const { rows, ledger } = await read(out)
  t.same(
    rows.map(row => [row.faceId, row.cropKind, row.label, row.split, [...row.box].join()]),
    [
      ['rafdb:train_00001#0', 'given', 6, 'train', '0,0,100,100'],
      ['rafdb:test_0001#0', 'given', 0, 'test', '0,0,100,100'],
    ],
  )
  const whole = extractFace(await decodePicture(aligned), [0, 0, 100, 100])
  t.same(rows[0]!.crop, await encodeJpeg(whole))
  t.match(ledger, { inputs: 3, outputs: 2, rejects: { bad_annotation: { count: 1 } } })

  const found = join(t.testdirName, 'out/raf-original')
  t.equal((await run('detect raf', { source, out: found, pictures: 'original' })).code, 0)
  const original = await read(found)
  t.match(original.rows, [{ faceId: 'rafdb:train_00001#0', cropKind: 'detected' }])
  t.match(original.ledger, { rejects: { no_face: { count: 1 }, bad_annotation: { count: 1 } } })
  const { metadata } = (await openArtifact(found, 'faces')).manifest
  t.same(metadata['lost'], { test: [1] }, 'a class and split without a face is not forgotten')
  t.equal((metadata['classes'] as string[])[0], 'surprise')
})

t.test('folders of classes: the largest face of each picture', async t => {
  const source = t.testdir({
    glad: { 'a.jpg': Buffer.from(portrait), 'b.jpg': Buffer.from(empty) },
    sad: { 'c.jpg': Buffer.from(portrait) },
  })
  const out = join(t.testdirName, 'out/folder')
  t.equal((await run('detect folder', { source, out })).code, 0)
  const { rows, ledger } = await read(out)
  t.same(
    rows.map(row => [row.faceId, row.cropKind, row.label, row.split]),
    [
      ['folder:glad/a.jpg#0', 'detected', 0, 'test'],
      ['folder:sad/c.jpg#0', 'detected', 1, 'test'],
    ],
  )
  t.match(ledger, { inputs: 3, rejects: { no_face: { count: 1, example: 'glad/b.jpg' } } })
  const { metadata } = (await openArtifact(out, 'faces')).manifest
  t.same(metadata, { lost: { test: [1] }, classes: ['glad', 'sad'] })
  t.match(await run('detect folder', { index: 'x', out }), { code: 2 })
})

t.test(
  'FEC: the detection that meets the box, else the box; triplets of faces that are there',
  async t => {
    const url = (name: string, box: string) => `"http://photos.example/7/${name}.jpg",${box}`
    const face = url('face', '0.32,0.55,0.08,0.42')
    const corner = url('face', '0.0,0.25,0.6,0.9')
    const plain = url('plain', '0.25,0.75,0.0,1.0')
    const cut = url('cut', '0.1,0.9,0.1,0.9')
    const votes = (...answers: number[]) => answers.map((v, i) => `42${i},${v}`).join(',')
    const source = t.testdir({
      FEC_dataset: {
        'faceexp-comparison-data-train-public.csv': [
          `${face},${corner},${plain},TWO_CLASS_TRIPLET,${votes(3, 3, 3, 3, 1, 1)}`,
          `${face},${corner},${plain},ONE_CLASS_TRIPLET,${votes(1, 2, 3, 1, 2, 3)}`,
          `${plain},${cut},${face},ONE_CLASS_TRIPLET,${votes(1, 1, 1, 1, 1, 1)}`,
          '',
        ].join('\n'),
        'faceexp-comparison-data-test-public.csv': `${plain},${corner},${face},THREE_CLASS_TRIPLET,${votes(2, 2, 2, 2, 2, 2, 2, 1)}\n`,
      },
      images: {
        'face.jpg': Buffer.from(portrait),
        'plain.jpg': Buffer.from(empty),
        'cut.jpg': Buffer.from(portrait.slice(0, 3000)),
      },
    })
    const out = join(t.testdirName, 'out/fec')
    t.equal((await run('detect fec', { source, out })).code, 0)
    const { rows, ledger } = await read(out)
    t.same(
      rows.map(row => [row.source, row.cropKind, row.label, row.split]),
      [
        ['images/plain.jpg', 'given', -1, 'test'],
        ['images/face.jpg', 'given', -1, 'test'],
        ['images/face.jpg', 'detected', -1, 'test'],
        ['images/face.jpg', 'detected', -1, 'train'],
        ['images/face.jpg', 'given', -1, 'train'],
        ['images/plain.jpg', 'given', -1, 'train'],
      ],
    )
    t.same([...rows[0]!.box], [16, 0, 48, 48], 'a box in fractions, left right top bottom')
    for (const row of rows) t.same(await sizeOf(row), [CROP_SIZE, CROP_SIZE])
    const found: Triplet[] = []
    for await (const row of (await openArtifact(out, 'faces')).rows(triplets)) found.push(row)
    const ids = rows.map(row => row.faceId)
    t.equal(new Set(ids).size, 6)
    t.match(found, [
      {
        ...{ tripletId: 'fec:test-1', first: ids[0]!, second: ids[1]!, third: ids[2]!, odd: 1 },
        ...{ kind: 'THREE_CLASS_TRIPLET', votesFor: 7, votesTotal: 8, split: 'test' },
      },
      {
        ...{ tripletId: 'fec:train-1', first: ids[3]!, second: ids[4]!, third: ids[5]!, odd: 2 },
        ...{ kind: 'TWO_CLASS_TRIPLET', votesFor: 4, votesTotal: 6, split: 'train' },
      },
    ])
    t.equal(found.length, 2)
    const { metadata } = (await openArtifact(out, 'faces')).manifest
    t.same(metadata['lostTriplets'], { train: { ONE_CLASS_TRIPLET: 1 } })
    t.same(ledger, {
      inputs: 11,
      outputs: 8,
      rejects: {
        missing_face: { count: 1, example: 'fec:train-3' },
        truncated_picture: { count: 1, example: 'images/cut.jpg' },
        weak_agreement: { count: 1, example: 'fec:train-2' },
      },
    })
  },
)

t.test('raw data are given as a folder or as an index, not both and not neither', async t => {
  const out = join(t.testdir({}), 'out')
  for (const [options, count] of [
    [{ out }, 'none'],
    [{ out, source: 'a', index: 'b' }, 'both'],
  ] as const) {
    const { code, said } = await run('detect raf', options)
    t.equal(code, 2)
    t.same(said, [`failed give one of --source and --index: ${count} given`])
  }
})
