// tap: test/leakage.test.ts covers src/leakage.ts src/leak-candidates.ts src/picture-hash.ts src/picture-signatures.ts src/picture-thumbs.ts src/picture-likeness.ts src/square.ts src/neighbours.ts
import { existsSync } from 'node:fs'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { openRandom } from '@deepfever/core'
import {
  decodePicture,
  encodeJpeg,
  mirror,
  readPicture,
  renderSvg,
  resizePicture,
} from '@deepfever/media'
import type { Picture } from '@deepfever/media'
import t, { type Test } from 'tap'
import { findLeaks } from '../src/leakage.ts'
import { nearestRows, nearestViews } from '../src/neighbours.ts'
import { PICTURE_SIDE, bitCount, hashOf, toGrey } from '../src/picture-hash.ts'
import { emptySignatures, setSignature } from '../src/picture-signatures.ts'

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

async function describe(pictures: readonly Picture[]) {
  const signatures = emptySignatures(pictures.length)
  const greys = new Map<number, Uint8Array>()
  for (const [row, picture] of pictures.entries()) {
    const grey = toGrey(await resizePicture(picture, PICTURE_SIDE, PICTURE_SIDE, 'linear'))
    setSignature(signatures, row, grey)
    greys.set(row, Uint8Array.from(grey, Math.round))
  }
  return { signatures, greys }
}

async function leaksBetween(train: readonly Picture[], test: readonly Picture[]) {
  const [a, b] = [await describe(train), await describe(test)]
  const signatures = { train: a.signatures, test: b.signatures }
  return findLeaks(signatures, () => Promise.resolve({ train: a.greys, test: b.greys }))
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
    'flipped 5 % crops': [0.9, (picture, i) => cut(mirror(picture), 0.05, `cut ${i}`)],
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

t.test(
  'a face that cannot be decoded leaks nothing; an embedding may name a candidate',
  async t => {
    const one = await describe([await drawFace(1), await drawFace(2)])
    const train = one.signatures
    const greys = { train: one.greys, test: new Map<number, Uint8Array>() }
    const read = () => Promise.resolve(greys)
    const neighbours = { k: 1, rows: Int32Array.of(0), cosines: Float32Array.of(1) }
    t.same(await findLeaks({ train, test: emptySignatures(1), neighbours }, read), [])

    // A tenth cut off: too far for hash and thumbnail, not for the comparison.
    const cropped = await describe([await cut(await drawFace(1), 0.1, 'c')])
    const [both, test] = [{ train: one.greys, test: cropped.greys }, cropped.signatures]
    const readBoth = () => Promise.resolve(both)
    t.same(await findLeaks({ train, test }, readBoth), [])
    t.match(await findLeaks({ train, test, neighbours }, readBoth), [{ test: 0, train: 0 }])
  },
)

t.test('the nearest view of a row decides; of equals the first row stays', async t => {
  const rows = (...views: number[][]) => ({
    ...{ count: views[0]!.length / 2, width: 2 },
    block: (first: number, last: number) =>
      views.map(view => Float32Array.from(view.slice(first * 2, last * 2))),
  })
  const keys = rows([1, 0, 0, 1, 0, 1], [1, 0, 1, 0, 0.6, 0.8])
  const queries = rows([0, 1], [0.8, 0.6])
  const { k, rows: found, cosines } = await nearestViews(keys, queries, 2)
  t.equal(k, 2)
  t.same([...found], [1, 2], 'by the first view both 1, by the second 0.8 and 0.96')
  t.same([...cosines], [1, 1])
  const few = await nearestRows(Float32Array.of(2, 0), Float32Array.of(3, 3, 0, 5), 2, 20)
  t.equal(few.k, 1, 'no more than there are')
  t.same([...few.rows], [0, 0])
})

t.test(
  'bits are counted; a hash and its mirror image change places in a mirrored picture',
  async t => {
    t.same([0, 1, 0xffffffff, 0x80000001].map(bitCount), [0, 1, 32, 2])
    const face = await resizePicture(await drawFace(3), PICTURE_SIDE, PICTURE_SIDE)
    const [high, low, ...mirrored] = hashOf(toGrey(face))
    t.same(hashOf(toGrey(mirror(face))), [...mirrored, high, low])
  },
)

const photographs = fileURLToPath(new URL('../../../../shared/data/faces', import.meta.url))
t.test(
  'photographs of 202 people: copies are found, two people are never one picture',
  { skip: existsSync(photographs) ? false : 'photographs of people are not at hand' },
  async t => {
    const pictures: Picture[] = []
    for (const folder of ['london/neutral', 'portraits/senate'])
      for (const name of await readdir(join(photographs, folder)))
        if (name.endsWith('.jpg')) {
          const whole = await readPicture(join(photographs, folder, name))
          pictures.push(await resizePicture(whole, 140, 140, 'linear'))
        }
    t.equal(pictures.length, 202)
    await plant(t, pictures)
    // Every person against every other one, never against itself.
    const half = pictures.length / 2
    const odd = pictures.filter((_, i) => i % 2 === 1)
    const even = pictures.filter((_, i) => i % 2 === 0)
    t.same(await leaksBetween(odd, even), [], `${half * half} pairs of people`)
  },
)
