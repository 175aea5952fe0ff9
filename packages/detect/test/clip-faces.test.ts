// tap: test/clip-faces.test.ts covers src/face-gate.ts, src/tracks.ts, src/clip-faces.ts, src/near-duplicates.ts, src/merge.ts, src/gallery.ts, src/still-frames.ts
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import {
  isInPart,
  openRandom,
  runStage,
  silentLog,
  type Log,
  type Part,
  type Stage,
} from '@deepfever/core'
import {
  clips,
  faces,
  frames,
  openArtifact,
  openForgotten,
  partPath,
  qualities,
  sha256,
  tallies,
  writeArtifact,
  type Face,
  type Quality,
  type Tally,
} from '@deepfever/formats'
import { extractFace, qualityOf, type CutFace } from '@deepfever/faces'
import { encodeJpeg, readPicture, resizePicture, type Picture } from '@deepfever/media'
import { openClip, type Keeping } from '../src/clip-faces.ts'
import { gateCodeOf } from '../src/face-gate.ts'
import { stages } from '../src/index.ts'
import { withoutNearDuplicates } from '../src/near-duplicates.ts'
import { openStillFrames } from '../src/still-frames.ts'
import { openTracks } from '../src/tracks.ts'

async function run(name: string, options: Readonly<Record<string, string | number>>) {
  const said: string[] = []
  const log: Log = {
    ...silentLog,
    event: (event, fields) => void said.push([event, fields?.message].join(' ').trim()),
  }
  const stage = stages.find(each => each.name === name) as unknown as Stage
  const flags = Object.entries(options).map(([key, value]) => `--${key}=${value}`)
  const terminal = { log, signal: new AbortController().signal }
  return { code: await runStage(stage, flags, terminal, () => {}), said }
}

async function read(out: string) {
  const artifact = await openArtifact(out, 'faces')
  const rows = { faces: [] as Face[], qualities: [] as Quality[], tallies: [] as Tally[] }
  const { tables } = artifact.manifest
  if (tables.faces) for await (const row of artifact.rows(faces)) rows.faces.push(row)
  if (tables.qualities) for await (const row of artifact.rows(qualities)) rows.qualities.push(row)
  if (tables.tallies) for await (const row of artifact.rows(tallies)) rows.tallies.push(row)
  return { ...artifact, ...rows }
}

const photo = fileURLToPath(new URL('../../../datasets/demo/photos/astronaut.png', import.meta.url))
const whole = await readPicture(photo)
const portrait = await resizePicture(whole, 256, 256)
const shaded = ({ data, ...size }: Picture, by: number): Picture => ({
  ...size,
  data: Uint8Array.from(data, value => Math.round(value * by)),
})
const head = [180, 60, 270, 180]
const detection = { box: Float32Array.from(head), landmarks: new Float32Array(10), probability: 1 }

t.test('sharpness, brightness and signature are measured on the crop', async t => {
  const crop = extractFace(whole, head)
  const sharp = qualityOf(crop, detection)
  const soft = qualityOf(
    await resizePicture(await resizePicture(crop, 24, 24), 140, 140),
    detection,
  )
  t.ok(soft.sharpness < sharp.sharpness / 5, `${soft.sharpness} and ${sharp.sharpness}`)
  const dark = qualityOf(shaded(crop, 0.25), detection)
  t.ok(Math.abs(dark.brightness - sharp.brightness / 4) < 0.01)
  t.same(sharp.side, 90)
  const bits = (a: Uint8Array, b: Uint8Array) =>
    a.reduce((sum, byte, i) => sum + (byte ^ b[i]!).toString(2).replaceAll('0', '').length, 0)
  t.ok(bits(sharp.signature, dark.signature) <= 4, 'less light is the same picture')
  t.ok(bits(sharp.signature, soft.signature) <= 8)
  const other = qualityOf(extractFace(whole, [20, 200, 110, 320]), detection)
  t.ok(bits(sharp.signature, other.signature) > 20, 'another picture is far away')
})

t.test('pose follows from the landmarks', t => {
  const crop = extractFace(whole, head)
  /** A face of eyes 40 apart in the middle, the nose moved, all turned by `roll` degrees. */
  const pose = (x: number, y: number, roll = 0) => {
    const [cos, sin] = [Math.cos((roll * Math.PI) / 180), Math.sin((roll * Math.PI) / 180)]
    const points = [
      [-20, 0],
      [20, 0],
      [x, 24 + y],
      [-16, 44],
      [16, 44],
    ] as const
    const landmarks = Float32Array.from(
      points.flatMap(([a, b]) => [a * cos - b * sin, a * sin + b * cos]),
    )
    const { yaw, pitch, roll: found } = qualityOf(crop, { ...detection, landmarks })
    return [yaw, pitch, found].map(Math.round)
  }
  t.same(pose(0, 0), [0, 0, 0])
  t.same(pose(0, 0, 25), [0, 0, 25])
  t.same(pose(10, 0), [30, 0, 0])
  t.same(pose(-10, 0, -40), [-30, 0, -40])
  t.same(pose(0, -10), [0, 30, 0])
  t.same(pose(60, 0)[0], 90, 'beyond the model it is a profile')
  t.end()
})

const keeping: Keeping = {
  ...{ probability: 0.9, minFace: 40, sharpness: 2, darkest: 0.1, brightest: 0.9, pose: 60 },
  ...{ perTrack: 0, perClip: 0 },
}
const good = {
  ...{ side: 80, sharpness: 9, brightness: 0.5, yaw: 0, pitch: 0, roll: 0 },
  signature: new Uint8Array(16),
}
const cut = (quality: Partial<typeof good> = {}, x = 0, probability = 1): CutFace => ({
  ...{ box: Float32Array.of(x, 0, x + 80, 80), landmarks: new Float32Array(10), probability },
  ...{ cropKind: 'detected', crop: Uint8Array.of(1, 2, 3), quality: { ...good, ...quality } },
})

t.test('the gate names the first threshold that is missed', t => {
  t.equal(gateCodeOf(cut(), keeping), undefined)
  for (const [face, code] of [
    [cut({}, 0, 0.89), 'low_probability'],
    [cut({ side: 39.9 }), 'face_too_small'],
    [cut({ brightness: 0.09 }), 'too_dark'],
    [cut({ brightness: 0.91 }), 'too_bright'],
    [cut({ sharpness: 1.9 }), 'blurred'],
    [cut({ yaw: -61 }), 'extreme_pose'],
    [cut({ roll: 61 }), 'extreme_pose'],
    [cut({ side: 1, sharpness: 0, yaw: 90 }), 'face_too_small'],
  ] as const)
    t.equal(gateCodeOf(face, keeping), code)
  t.end()
})

t.test('a track goes on where the box lies, over two empty frames, not over three', t => {
  const at = (x: number) => Float32Array.of(x, 0, x + 100, 100)
  const next = openTracks('clip')
  t.same(next([at(0), at(200)]), ['clip~0', 'clip~1'])
  t.same(next([at(210), at(20)]), ['clip~1', 'clip~0'], 'the order of the faces does not matter')
  t.same(next([at(90)]), ['clip~2'], 'too far from both')
  t.same(next([]), [])
  t.same(next([at(30), at(215)]), ['clip~0', 'clip~1'])
  for (let i = 0; i < 3; i++) t.same(next([]), [])
  t.same(next([at(30)]), ['clip~3'])
  t.same(openTracks('c')([at(1)]), ['c~0'])
  const patient = openTracks('p')
  t.same([patient([at(0)]), patient([]), patient([]), patient([at(0)])].flat(), ['p~0', 'p~0'])
  t.end()
})

t.test('a frame is still when no cell changed since the last one that was looked at', async t => {
  const moved = async (by: number, width = 60) => {
    const data = portrait.data.slice()
    for (let y = 100; y < 160; y++)
      for (let at = (y * 256 + 100) * 3; at < (y * 256 + 100 + width) * 3; at++) data[at] = by
    return encodeJpeg({ ...portrait, data })
  }
  const [first, near, other] = [await moved(100), await moved(103), await moved(108)]
  const isStill = openStillFrames(4)
  t.notOk(await isStill('a', first))
  t.ok(await isStill('a', near))
  t.notOk(await isStill('a', other), 'compared with the first, not with the one passed over')
  t.ok(await isStill('a', other))
  t.notOk(await isStill('b', other), 'another clip')
  t.notOk(await isStill('b', Uint8Array.of(1)), 'what is wrong with it is said elsewhere')
  t.ok(await isStill('b', other))
})

t.test('limits keep the sharpest of a track and of a clip, in the order of the frames', async t => {
  const dir = t.testdir({})
  const none = await openForgotten('')
  const take = async (limits: Partial<Keeping>, name: string) => {
    const spec = { kind: 'faces', stage: 'draw', behaviour: 1, identity: {}, inputs: [] }
    await writeArtifact({ ...spec, out: join(dir, name) }, silentLog, async write => {
      const clip = openClip(
        { clipId: 'c', clipName: 'c.mp4' },
        { ...keeping, ...limits },
        none,
        write,
      )
      for (const [i, sharpness] of [5, 9, 7, 9].entries())
        await clip.add(`c@${i}`, { faces: [cut({ sharpness }), cut({ sharpness: i + 3 }, 300)] })
      await clip.add('c@9', { rejected: 'no_face' })
      await write.done('c', await clip.end(5, ''))
    })
    const { faces: kept, manifest, tallies: lost } = await read(join(dir, name))
    t.equal(manifest.ledger.inputs, 9, 'eight faces and a frame without')
    return [kept.map(face => face.faceId), lost.map(row => [row.code, row.count, row.example])]
  }
  t.same((await take({}, 'all'))[0]?.length, 8)
  t.same(await take({ perTrack: 2 }, 'track'), [
    ['c@1#0', 'c@2#1', 'c@3#0', 'c@3#1'],
    [
      ['no_face', 1, 'c@9'],
      ['track_limit', 4, 'c@0#0'],
    ],
  ])
  t.same((await take({ perClip: 3 }, 'clip'))[0], ['c@1#0', 'c@2#0', 'c@3#0'])
  t.same((await take({ perTrack: 1, perClip: 1 }, 'both'))[0], ['c@1#0'], 'equal ones go by id')
})

t.test('near-duplicates: from the sharpest on, exactly those within the distance', t => {
  const random = openRandom('signatures')
  const count = 400
  const signatures = new Uint8Array(count * 16)
  for (let i = 0; i < count; i++) {
    const from = i > 20 && random.below(2) ? random.below(i) : -1
    for (let k = 0; k < 16; k++)
      signatures[i * 16 + k] = from < 0 ? random.below(256) : signatures[from * 16 + k]!
    for (let flips = from < 0 ? 0 : random.below(12); flips > 0; flips--)
      signatures[i * 16 + random.below(16)]! ^= 1 << random.below(8)
  }
  const sharpness = Float32Array.from({ length: count }, () => random.below(40))
  const faceIds = Array.from({ length: count }, (_, i) => `face${(i * 7919) % count}`)
  const bits = (a: number, b: number) => {
    let sum = 0
    for (let k = 0; k < 16; k++)
      for (let x = signatures[a * 16 + k]! ^ signatures[b * 16 + k]!; x > 0; x >>= 1) sum += x & 1
    return sum
  }
  for (const distance of [0, 4, 7]) {
    const order = faceIds
      .map((id, i) => ({ id, i }))
      .sort((a, b) => sharpness[b.i]! - sharpness[a.i]! || (a.id < b.id ? -1 : 1))
    const stay: number[] = []
    for (const { i } of order) if (stay.every(other => bits(i, other) > distance)) stay.push(i)
    const kept = withoutNearDuplicates({ faceIds, sharpness, signatures }, distance)
    t.same(
      [...kept].flatMap((one, i) => (one ? [i] : [])),
      stay.sort((a, b) => a - b),
    )
    t.ok(stay.length < count && stay.length > 20, `${stay.length} stay`)
  }
  const none = { faceIds: [], sharpness: new Float32Array(), signatures: new Uint8Array() }
  t.same(withoutNearDuplicates(none, 4), [])
  t.end()
})

t.test('near-duplicates: one face 20,000 times leaves one; with many bits changed most stay', t => {
  const random = openRandom('one face')
  const count = 20_000
  const sharpness = Float32Array.from({ length: count }, () => random.below(40))
  const faceIds = Array.from({ length: count }, (_, i) => `face${i}`)
  const signatures = new Uint8Array(count * 16).fill(0x35)
  const equal = withoutNearDuplicates({ faceIds, sharpness, signatures }, 4)
  t.equal(equal.filter(Boolean).length, 1)
  for (let i = 0; i < 12 * count; i++)
    signatures[16 * (i % count) + random.below(16)]! ^= 1 << random.below(8)
  const close = withoutNearDuplicates({ faceIds, sharpness, signatures }, 4)
  t.ok(close.filter(Boolean).length > 0.9 * count)
  t.end()
})

/** Frames of clips that show the portrait, moved and shaded, as the ingest of a part would. */
async function drawFrames(out: string, part: Part | undefined, skipped = '') {
  const names = ['a', 'b', 'c', 'd', 'e', 'f', 'g']
  const listed = names
    .map(name => ({ name, digest: sha256(`clip ${name}`) }))
    .sort((a, b) => (a.digest < b.digest ? -1 : 1))
    .filter(({ digest, name }) => isInPart(digest, part) && name !== skipped)
  const identity = part ? { fps: 1, shard: `${part.index}/${part.count}` } : { fps: 1 }
  const spec = { kind: 'frames', stage: 'draw frames', behaviour: 1, identity }
  const inputs = [{ role: 'clips', digest: sha256(skipped) }]
  const terms = [{ licence: 'drawn', consent: 'none needed', contact: '' }]
  const place = { out: partPath(out, part), inputs, terms }
  await writeArtifact({ ...spec, ...place }, silentLog, async write => {
    for (const { name, digest } of listed) {
      const clip = { clipId: digest.slice(0, 16), clipName: `${name}.mp4` }
      const count = name === 'g' ? 0 : 2
      for (let index = 0; index < count; index++) {
        // All but `a` show what another clip shows, a little darker.
        const picture = shaded(portrait, name < 'd' ? 1 : 0.97 - index / 50)
        const image =
          name === 'f' ? await encodeJpeg(shaded(portrait, 0)) : await encodeJpeg(picture)
        const frame = { ptsUs: index, index, width: 256, height: 256, image }
        await write.append(frames, { frameId: `${clip.clipId}@${index}`, ...clip, ...frame })
      }
      const code = count === 0 ? 'undecodable_clip' : ''
      await write.append(clips, { ...clip, frames: count, code })
      if (count === 0) write.reject(code, clip.clipName)
      else write.accept()
      await write.done(name)
    }
  })
}

t.test('parts merged are the same for any division; near faces of all clips leave one', async t => {
  const dir = t.testdir({})
  const contents = new Set<string>()
  for (const count of [1, 2, 5]) {
    const [source, out] = [join(dir, `frames${count}`), join(dir, `faces${count}`)]
    for (let index = 1; index <= count; index++) {
      await drawFrames(source, { index, count })
      const shard = `${index}/${count}`
      t.equal((await run('detect faces', { frames: source, out, shard, workers: 1 })).code, 0)
    }
    t.equal((await run('detect merge', { parts: `${out}.parts`, out })).code, 0)
    const merged = await read(out)
    const files = Object.values(merged.manifest.tables).flatMap(({ shards }) => shards)
    const bytes = await Promise.all(
      ['manifest.json', ...files.map(({ name }) => name)].map(name =>
        readFile(join(out, name), 'hex'),
      ),
    )
    contents.add(bytes.join())
    if (count > 1) continue
    const { ledger, terms } = merged.manifest
    t.same(ledger.rejects.undecodable_clip, { count: 1, example: 'g.mp4' })
    t.equal(ledger.rejects.no_face?.count, 2)
    t.equal(ledger.inputs, 13, 'ten faces, two frames without, a clip without')
    t.equal(ledger.outputs + ledger.rejects.near_duplicate!.count, 10)
    t.ok(ledger.outputs <= 3, `${ledger.outputs} of ten pictures of one face stay`)
    t.same(
      merged.qualities.map(row => row.faceId),
      merged.faces.map(row => row.faceId),
    )
    t.same(terms, [{ licence: 'drawn', consent: 'none needed', contact: '' }])
    const all = join(dir, 'all')
    t.equal((await run('detect merge', { parts: `${out}.parts`, out: all, near: -1 })).code, 0)
    t.equal((await read(all)).manifest.ledger.outputs, 10)
    const gallery = await run('detect gallery', { faces: out })
    t.equal(gallery.code, 0)
    const page = await readFile(`${out}-gallery/gallery.html`, 'utf8')
    t.match(page, /Turned away: near_duplicate/)
  }
  t.equal(contents.size, 1)
})

t.test('a run with other clips looks at those alone; a forgotten face leaves', async t => {
  const dir = t.testdir({})
  const places = { frames: join(dir, 'frames'), out: join(dir, 'faces') }
  const take = async (more: Readonly<Record<string, string>> = {}) => {
    const { code, said } = await run('detect faces', { ...places, ...more, workers: 1 })
    t.equal(code, 0, said.join())
    return read(places.out)
  }
  await drawFrames(places.frames, undefined, 'b')
  const first = await take()
  await drawFrames(places.frames, undefined, 'c')
  const grown = await take()
  t.not(grown.digest, first.digest)
  const fresh = { frames: places.frames, out: join(dir, 'fresh'), workers: 1 }
  t.equal((await run('detect faces', fresh)).code, 0)
  t.equal((await read(fresh.out)).digest, grown.digest, 'grown and made at once are the same')
  const [face] = grown.faces as [Face]
  await writeFile(join(dir, 'forget.txt'), `${face.faceId}\n`)
  const left = await take({ forget: join(dir, 'forget.txt') })
  t.notOk(left.faces.some(({ faceId }) => faceId === face.faceId))
  t.equal(left.faces.length, grown.faces.length - 1)
  const [lost] = left.tallies.filter(({ code }) => code === 'forgotten')
  t.match(lost, { count: 1, crop: new Uint8Array(0) }, 'no picture of it is kept as an example')
})

t.test('frames that hardly changed are passed over and counted, when asked', async t => {
  const dir = t.testdir({})
  const places = { frames: join(dir, 'frames'), workers: 1 }
  await drawFrames(places.frames, undefined)
  const take = async (still: number) => {
    const out = join(dir, `still${still}`)
    t.equal((await run('detect faces', { ...places, out, still })).code, 0)
    return (await read(out)).manifest.ledger
  }
  const all = await take(0)
  t.equal(all.rejects.frame_unchanged, undefined)
  const fewer = await take(10)
  t.equal(fewer.rejects.frame_unchanged?.count, 6, 'the second frame of each clip')
  t.equal(fewer.inputs, all.inputs, 'a frame counts as the one face or the none it would give')
})

t.test('the gallery shows at most 200 faces a reason and stays below 20 MB', async t => {
  const out = join(t.testdir({}), 'faces')
  const crop = new Uint8Array(30_000).fill(7)
  const spec = { out, kind: 'faces', stage: 'draw', behaviour: 1, identity: {}, inputs: [] }
  await writeArtifact(spec, silentLog, async write => {
    for (let i = 0; i < 900; i++) {
      const [code, clipName] = [`reason_${i % 3}`, `${i}.mp4`]
      const row = { clipId: `${i}`, clipName, code, count: 1, example: `${i}@0#0`, crop }
      await write.append(tallies, row)
      write.reject(code, row.example)
    }
    await write.done('all', 900)
  })
  t.equal((await run('detect gallery', { faces: out })).code, 0)
  const page = await readFile(`${out}-gallery/gallery.html`, 'latin1')
  t.ok(page.length > 14e6 && page.length < 20e6, `${page.length} bytes`)
  for (const part of page.split('Turned away: ').slice(1))
    t.ok(part.split('<img').length - 1 <= 200)
})
