import { mapOrdered, openRandom } from '@deepfever/core'
import type { Random } from '@deepfever/core'
import type { DemoFile } from './demo-file.ts'
import { drawExpression, expressionDistance, expressionNames } from './expression.ts'
import type { Expression } from './expression.ts'
import { photograph } from './scene.ts'

const PHOTO_WIDTH = 240
const PHOTO_HEIGHT = 180
const WIDTH = 4
const TEST_SHARE = 0.25
const PAIR_SHARE = 0.2
const VOTES = 6
/** Distance at which a viewer is e times as sure. */
const DOUBT = 0.22

interface PhotoFace {
  readonly url: string
  readonly label: number
  readonly expression: Expression
  readonly x: number
  readonly y: number
  readonly size: number
}

interface Photo {
  readonly url: string
  readonly faces: readonly PhotoFace[]
}

/**
 * Drawn photographs and triplets in the layout of Google's FEC: two header-less CSV files and
 * `images/<last part of the URL>`. Six simulated annotators vote by expression distance, so some
 * rows agree weakly; every twentieth row has eight votes, and the first row shows two faces of
 * one photograph. Rows of one, two and three
 * classes take turns. Test photographs are never in a training row.
 */
export async function* drawFec(
  seed: number,
  sizes: { readonly photos: number; readonly train: number; readonly test: number },
  noise: Int8Array,
): AsyncGenerator<DemoFile> {
  const photos = Array.from({ length: sizes.photos }, (_, i) => planPhoto(seed, i))
  yield* mapOrdered(photos, WIDTH, async ({ url, faces }) => {
    const random = openRandom(`${seed}/fec/photo/${url}`)
    const scene = { width: PHOTO_WIDTH, height: PHOTO_HEIGHT, faces, style: 'paint' as const }
    return {
      path: `fec/images/${url.slice(url.lastIndexOf('/') + 1)}`,
      bytes: await photograph(scene, noise, random),
    }
  })
  const cut = Math.floor(photos.length * (1 - TEST_SHARE))
  for (const [split, part, count] of [
    ['train', photos.slice(0, cut), sizes.train],
    ['test', photos.slice(cut), sizes.test],
  ] as const) {
    const random = openRandom(`${seed}/fec/rows/${split}`)
    yield {
      path: `fec/FEC_dataset/faceexp-comparison-data-${split}-public.csv`,
      bytes: Array.from({ length: count }, (_, row) => drawRow(part, row, random)).join(''),
    }
  }
}

function planPhoto(seed: number, index: number): Photo {
  const random = openRandom(`${seed}/fec/plan/${index}`)
  const number = String(1_000_000 + index * 7919)
  const url = `http://photos.example/${4000 + (index % 40)}/${number}_drawn.jpg`
  const pair = index === 0 || random.next() < PAIR_SHARE
  const places = pair ? [0.27, 0.73] : [0.4 + 0.2 * random.next()]
  const faces = places.map(at => {
    const label = random.below(expressionNames.length)
    return {
      ...{ url, label, expression: drawExpression(label, random) },
      x: PHOTO_WIDTH * (at + 0.02 * random.normal()),
      y: PHOTO_HEIGHT * (0.48 + 0.03 * random.normal()),
      size: PHOTO_HEIGHT * (pair ? 0.45 + 0.1 * random.next() : 0.5 + 0.2 * random.next()),
    }
  })
  return { url, faces }
}

function drawRow(photos: readonly Photo[], row: number, random: Random): string {
  const faces = pickFaces(photos, row, random)
  const classes = new Set(faces.map(face => face.label)).size
  const kind = `${['ONE', 'TWO', 'THREE'][classes - 1]}_CLASS_TRIPLET`
  const between = (a: number, b: number) =>
    expressionDistance(faces[a]!.expression, faces[b]!.expression)
  // The odd one out is the one opposite the closest pair.
  const weights = [between(1, 2), between(0, 2), between(0, 1)].map(d => Math.exp(-d / DOUBT))
  const votes = Array.from({ length: row % 20 === 19 ? VOTES + 2 : VOTES }, () => [
    4_290_000_000 + random.below(1_000_000),
    1 + pickWeighted(weights, random),
  ])
  const fields = [
    ...faces.flatMap(face => [`"${face.url}"`, ...toBox(face)]),
    kind,
    ...votes.flat(),
  ]
  return `${fields.join(',')}\n`
}

/**
 * Three different faces of `1 + row % 3` classes, where the photographs allow it; mostly triplets
 * that are not too close to call.
 */
function pickFaces(photos: readonly Photo[], row: number, random: Random): PhotoFace[] {
  const all = photos.flatMap(photo => photo.faces)
  const pair = row === 0 ? photos.find(photo => photo.faces.length > 1) : undefined
  for (;;) {
    const faces = pair ? [...pair.faces] : [pickFrom(all, random)]
    while (faces.length < 3) {
      const others = all.filter(face => !faces.includes(face))
      // The second face is of the first one's class in rows of one and two, the third in rows of one.
      const alike = row % 3 <= 2 - faces.length
      const fitting = others.filter(face => faces.some(f => f.label === face.label) === alike)
      faces.push(pickFrom(fitting.length > 0 ? fitting : others, random))
    }
    random.shuffle(faces)
    const [a, b, c] = faces.map(face => face.expression) as [Expression, Expression, Expression]
    const apart = [expressionDistance(a, b), expressionDistance(a, c), expressionDistance(b, c)]
    const [closest, next] = apart.sort((d, e) => d - e) as [number, number]
    if (next - closest > 0.3 || random.next() < 0.25) return faces
  }
}

const pickFrom = <T>(items: readonly T[], random: Random): T => items[random.below(items.length)]!

function pickWeighted(weights: readonly number[], random: Random): number {
  let left = random.next() * weights.reduce((sum, weight) => sum + weight, 0)
  const at = weights.findIndex(weight => (left -= weight) < 0)
  return at < 0 ? weights.length - 1 : at
}

/** left, right, top, bottom as fractions, FEC's order. */
function toBox({ x, y, size }: PhotoFace): string[] {
  const inside = (value: number) => Math.max(0, Math.min(1, value)).toFixed(6)
  return [
    ...[inside((x - 0.5 * size) / PHOTO_WIDTH), inside((x + 0.5 * size) / PHOTO_WIDTH)],
    ...[inside((y - 0.68 * size) / PHOTO_HEIGHT), inside((y + 0.66 * size) / PHOTO_HEIGHT)],
  ]
}
