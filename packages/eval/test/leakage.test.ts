// tap: test/leakage.test.ts covers src/leakage.ts src/picture-hash.ts src/picture-hashes.ts src/picture-likeness.ts src/neighbours.ts
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { openRandom, silentLog } from '@deepfever/core'
import { decodePicture, encodeJpeg, mirror, renderSvg, resizePicture } from '@deepfever/media'
import type { Picture } from '@deepfever/media'
import t, { type Test } from 'tap'
import { openFolder } from '../src/face-set.ts'
import { findLeaks, type HashedParts } from '../src/leakage.ts'
import { nearestRows } from '../src/neighbours.ts'
import { bitCount, hashOf, toGrey } from '../src/picture-hash.ts'
import { LIKENESS_SIDE } from '../src/picture-likeness.ts'

/** Cuts `share` off width and height, at a place drawn from `name`. */
function cut({ width, height, data }: Picture, share: number, name: string): Promise<Picture> {
  const random = openRandom(name)
  const [w, h] = [Math.round(width * (1 - share)), Math.round(height * (1 - share))]
  const [left, top] = [random.below(width - w + 1), random.below(height - h + 1)]
  const part = new Uint8Array(w * h * 3)
  for (let y = 0; y < h; y++) {
    const from = ((y + top) * width + left) * 3
    part.set(data.subarray(from, from + w * 3), y * w * 3)
  }
  return resizePicture({ width: w, height: h, data: part }, width, height)
}

/** Grey pixels 16 x 16 stand in for an extractor: crops stay near, other faces do not. */
const WIDTH = 256
async function describe(pictures: readonly Picture[]) {
  const hashes = new Uint32Array(pictures.length * 4)
  const features = new Float32Array(pictures.length * WIDTH)
  const greys = new Map<number, Float32Array>()
  for (const [row, picture] of pictures.entries()) {
    const at = async (side: number) => toGrey(await resizePicture(picture, side, side, 'linear'))
    hashes.set(hashOf(await at(32)), row * 4)
    const tiny = await at(16)
    const mean = tiny.reduce((a, b) => a + b) / WIDTH
    features.set(
      tiny.map(value => value - mean),
      row * WIDTH,
    )
    greys.set(row, await at(LIKENESS_SIDE))
  }
  return { hashes, features, greys }
}

async function leaksBetween(train: readonly Picture[], test: readonly Picture[]) {
  const [a, b] = [await describe(train), await describe(test)]
  const hashes: HashedParts = { train: a.hashes, test: b.hashes }
  const neighbours = await nearestRows(a.features, b.features, WIDTH, 20)
  return findLeaks(hashes, neighbours, () => Promise.resolve({ train: a.greys, test: b.greys }))
}

/** Plants every kind of copy of `originals` and holds the shares that are found to the bounds. */
async function plant(t: Test, originals: readonly Picture[]): Promise<void> {
  const jpeg = async (picture: Picture) => decodePicture(await encodeJpeg(picture, 50))
  const kinds: Readonly<Record<string, readonly [number, (p: Picture, i: number) => unknown]>> = {
    copies: [0.99, picture => picture],
    flips: [0.99, picture => mirror(picture)],
    'JPEG 50': [0.99, jpeg],
    'flipped JPEG 50': [0.99, picture => jpeg(mirror(picture))],
    '5 % crops': [0.9, (picture, i) => cut(picture, 0.05, `cut ${i}`)],
  }
  for (const [name, [least, make]] of Object.entries(kinds)) {
    const copies = (await Promise.all(originals.map(make))) as Picture[]
    const leaks = await leaksBetween(originals, copies)
    const right = leaks.filter(({ test, train }) => test === train).length
    const share = right / originals.length
    t.ok(share >= least, `${name}: ${right} of ${originals.length} found, wanted ${least}`)
  }
}

/** A face of a few shapes over textured ground; every `index` another one. */
function drawFace(index: number): Promise<Picture> {
  const random = openRandom(`leakage/${index}`)
  const dot = () => {
    const [x, y, r] = [random.below(140), random.below(140), 2 + random.below(10)]
    return `<circle cx="${x}" cy="${y}" r="${r}" fill="hsl(${random.below(360)},60%,${random.below(100)}%)"/>`
  }
  const dots = Array.from({ length: 40 }, dot).join('')
  const eye = (x: number) =>
    `<ellipse cx="${x}" cy="${55 + random.below(8)}" rx="${7 + random.below(5)}" ry="5" fill="#222"/>`
  return renderSvg(
    `<svg xmlns="http://www.w3.org/2000/svg" width="140" height="140"><rect width="140" height="140" fill="#998"/>${dots}<ellipse cx="70" cy="72" rx="${38 + random.below(12)}" ry="52" fill="#d9a988"/>${eye(52)}${eye(90)}<path d="M50 100 Q70 ${90 + random.below(40)} 90 100" stroke="#a33" stroke-width="4" fill="none"/></svg>`,
    0.6,
  )
}

t.test('planted copies of drawn faces are found, other faces are not', async t => {
  const faces = await Promise.all(Array.from({ length: 60 }, (_, i) => drawFace(i)))
  await plant(t, faces.slice(0, 30))
  t.same(await leaksBetween(faces.slice(0, 30), faces.slice(30)), [])
})

t.test('a face that cannot be decoded leaks nothing', async t => {
  const one = await describe([await drawFace(1)])
  const hashes = { train: one.hashes, test: new Uint32Array(4) }
  const neighbours = { k: 1, rows: Int32Array.of(0), cosines: Float32Array.of(1) }
  const greys = { train: one.greys, test: new Map<number, Float32Array>() }
  t.same(await findLeaks(hashes, neighbours, () => Promise.resolve(greys)), [])
})

t.test(
  'bits are counted; a hash and its mirror image change places in a mirrored picture',
  async t => {
    t.same([0, 1, 0xffffffff, 0x80000001].map(bitCount), [0, 1, 32, 2])
    const face = await resizePicture(await drawFace(3), 32, 32)
    const [high, low, ...mirrored] = hashOf(toGrey(face))
    t.same(hashOf(toGrey(mirror(face))), [...mirrored, high, low])
  },
)

const london = fileURLToPath(new URL('../../../../shared/data/faces/london', import.meta.url))
t.test(
  'photographs of 102 people: copies are found, two people are never one picture',
  { skip: existsSync(london) ? false : 'photographs of people are not at hand' },
  async t => {
    const set = await openFolder(london, { group: '', trainShare: 0.5, seed: '1' }, silentLog)
    const pictures: Picture[] = []
    const people: string[] = []
    for await (const face of set.rows()) {
      if (!face.source.startsWith('neutral')) continue
      pictures.push(await face.picture(140))
      people.push(/(\d+)_/.exec(face.source)![1]!)
    }
    t.equal(new Set(people).size, pictures.length)
    await plant(t, pictures)
    // Every person against every other one, never against itself.
    const half = Math.floor(pictures.length / 2)
    const leaks = await leaksBetween(pictures.slice(0, half), pictures.slice(half))
    t.same(leaks, [], `${half * (pictures.length - half)} pairs of people`)
  },
)
