// The leakage gate at AffectNet's size, time, memory and what is found among so many:
// npm run bench -- leakage [--train=287651] [--test=4000] [--faces=ARTIFACT,…] --rounds=1
import { readFile } from 'node:fs/promises'
import { openRandom, type Random } from '@deepfever/core'
import {
  PICTURE_SIDE,
  cutWindow,
  emptySignatures,
  findLeaks,
  halve,
  mirrorSquare,
  nearestRows,
  openFaces,
  setSignature,
  toGrey,
  type ReadGreys,
  type Square,
} from '@deepfever/eval'
import { renderSvg } from '@deepfever/media'
import type { Bench, BenchWords } from './bench.ts'

const WIDTH = 256
const NEIGHBOURS = 20
/** Pictures that are blended: half as fine again as the gate looks. */
const SIDE = 2 * PICTURE_SIDE
/** One test picture in so many is a planted copy. */
const PLANTED_EVERY = 10
const CROP = 0.95

/** Every test picture of these kinds shows a training picture. */
const kinds: Readonly<Record<string, (square: Square, random: Random) => Square>> = {
  copies: square => square,
  flips: mirrorSquare,
  '5 % crops': (square, random) => ({
    side: square.side,
    grey: cutWindow(square, { scale: CROP, x: random.next(), y: random.next() }),
  }),
}

/** Shapes over textured ground, where no photographs are given. */
async function drawSquare(index: number): Promise<Square> {
  const random = openRandom(`bench/leakage/${index}`)
  const dots = Array.from({ length: 40 }, () => {
    const [x, y, r] = [random.below(SIDE), random.below(SIDE), 2 + random.below(8)]
    return `<circle cx="${x}" cy="${y}" r="${r}" fill="hsl(${random.below(360)},60%,${random.below(100)}%)"/>`
  }).join('')
  const svg = `<svg xmlns="http://www.w3.org/2000/svg" width="${SIDE}" height="${SIDE}"><rect width="${SIDE}" height="${SIDE}" fill="#998"/>${dots}<ellipse cx="48" cy="50" rx="${25 + random.below(12)}" ry="36" fill="#d9a988"/></svg>`
  return { side: SIDE, grey: toGrey(await renderSvg(svg, 0.6)) }
}

async function readSquares(places: string): Promise<Square[]> {
  const squares: Square[] = []
  for (const place of places.split(','))
    for await (const face of (await openFaces(place)).rows())
      squares.push({ side: SIDE, grey: toGrey(await face.picture(SIDE)) })
  return squares
}

/** Any number of pictures: each two of `bases`, mirrored or not, one shining through the other. */
function openBlends(bases: readonly Square[], name: string): (index: number) => Square {
  const turned = bases.map(mirrorSquare)
  const pick = (random: Random) =>
    (random.next() < 0.5 ? bases : turned)[random.below(bases.length)]!
  return index => {
    const random = openRandom(`bench/leakage/${name}/${index}`)
    const [a, b, share] = [pick(random), pick(random), 0.35 + 0.3 * random.next()]
    return { side: SIDE, grey: a.grey.map((value, i) => share * value + (1 - share) * b.grey[i]!) }
  }
}

function drawVectors(rows: number, name: string): Float32Array {
  const random = openRandom(`bench/leakage/${name}`)
  return Float32Array.from({ length: rows * WIDTH }, () => random.next() - 0.5)
}

const peakMib = async (): Promise<number> =>
  Number(/VmHWM:\s+(\d+)/.exec(await readFile('/proc/self/status', 'utf8'))?.[1]) / 1024

/** Opens the gate on generated pictures; there is no peer. */
export async function openBench({
  train: trainWord = '287651',
  test: testWord = '4000',
  faces = '',
}: BenchWords): Promise<Bench> {
  const counts = { train: Number(trainWord), test: Number(testWord) }
  const bases = faces
    ? await readSquares(faces)
    : await Promise.all(Array.from({ length: 200 }, (_, i) => drawSquare(i)))
  const trainAt = openBlends(bases, 'train')
  const freshAt = openBlends(bases, 'test')
  const names = Object.keys(kinds)
  const kindOf = (row: number) =>
    row % PLANTED_EVERY === 0 ? names[(row / PLANTED_EVERY) % names.length]! : undefined
  const originalOf = (row: number) => (row * 7919) % counts.train
  const testAt = (row: number) => {
    const kind = kindOf(row)
    const random = openRandom(`bench/leakage/planted/${row}`)
    return kind === undefined ? freshAt(row) : kinds[kind]!(trainAt(originalOf(row)), random)
  }
  const greyOf = (square: Square) => halve(square).grey
  const sign = (count: number, at: (row: number) => Square) => {
    const signatures = emptySignatures(count)
    for (let row = 0; row < count; row++) setSignature(signatures, row, greyOf(at(row)))
    return signatures
  }
  const start = performance.now()
  const signatures = { train: sign(counts.train, trainAt), test: sign(counts.test, testAt) }
  const vectors = {
    train: drawVectors(counts.train, 'train vectors'),
    test: drawVectors(counts.test, 'test vectors'),
  }
  const seconds = (from: number) => ((performance.now() - from) / 1000).toFixed(1)
  const before = await peakMib()
  console.error(`pictures blended and signed in ${seconds(start)} s; ${before.toFixed(0)} MiB`)
  const read: ReadGreys = wanted => {
    const from = performance.now()
    const greys = (rows: ReadonlySet<number>, at: (row: number) => Square) =>
      new Map([...rows].map(row => [row, Uint8Array.from(greyOf(at(row)), Math.round)]))
    const both = { train: greys(wanted.train, trainAt), test: greys(wanted.test, testAt) }
    const many = `${wanted.train.size} training and ${wanted.test.size} test pictures`
    console.error(`${many} to compare, blended again in ${seconds(from)} s`)
    return Promise.resolve(both)
  }
  const run = async () => {
    const from = performance.now()
    const neighbours = await nearestRows(vectors.train, vectors.test, WIDTH, NEIGHBOURS)
    console.error(`neighbours by embedding: ${seconds(from)} s`)
    const leaks = await findLeaks({ ...signatures, neighbours }, read)
    const found = new Map(leaks.map(leak => [leak.test, leak]))
    for (const name of names) {
      const rows = Array.from({ length: counts.test }, (_, row) => row).filter(
        row => kindOf(row) === name,
      )
      const hits = rows.filter(row => found.has(row)).length
      console.error(`${name}: ${hits} of ${rows.length} found`)
    }
    const more = (await peakMib()) - before
    console.error(`peak memory ${more.toFixed(0)} MiB above vectors and signatures`)
    return (performance.now() - from) / 1000
  }
  return { name: 'leakage', unit: 's', ours: { name: 'gate', run }, peer: undefined }
}
