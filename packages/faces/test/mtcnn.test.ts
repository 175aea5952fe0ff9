// tap: test/mtcnn.test.ts covers src/mtcnn/*.ts src/face-finder.ts
import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { isDeepStrictEqual } from 'node:util'
import { openRandom, uniforms } from '@deepfever/core'
import { decodeSafetensors } from '@deepfever/formats'
import { readPicture } from '@deepfever/media'
import type { Picture } from '@deepfever/media'
import { pNet, toOnnx } from '@deepfever/models'
import { openSession } from '@deepfever/runtime/onnx'
import t from 'tap'
import { findFaces } from '../src/face-finder.ts'
import { correct, regionOf, suppress, toSquares } from '../src/mtcnn/boxes.ts'
import { extractFace, openDetector, resizeTriangle } from '../src/mtcnn/index.ts'
import { foldProposals } from '../src/mtcnn/proposal-network.ts'
import { propose } from '../src/mtcnn/proposals.ts'
import {
  averageWindows,
  regionAverager,
  scalesOf,
  toIntegral,
  windowsOf,
} from '../src/mtcnn/pyramid.ts'

const weights = new URL('../assets/mtcnn.safetensors', import.meta.url)

function noise(name: string, width: number, height: number): Picture {
  const random = openRandom(name)
  return {
    width,
    height,
    data: Uint8Array.from({ length: width * height * 3 }, () => random.below(256)),
  }
}

const pixel = ({ data, width }: Picture, x: number, y: number, channel: number) =>
  data[(y * width + x) * 3 + channel]!

t.test('the resize averages the windows of adaptive pooling, shrinking and enlarging', async t => {
  const image = noise('resize', 37, 29)
  const integral = toIntegral(image)
  for (const [height, width] of [
    [7, 11],
    [29, 37],
    [40, 64],
  ] as const) {
    const found = new Float32Array(3 * height * width)
    averageWindows(integral, windowsOf(0, 29, height), windowsOf(0, 37, width), found)
    let worst = 0
    for (let c = 0; c < 3; c++) {
      for (let y = 0; y < height; y++) {
        for (let x = 0; x < width; x++) {
          let sum = 0
          let count = 0
          for (let v = Math.floor((y * 29) / height); v < Math.ceil(((y + 1) * 29) / height); v++) {
            for (let u = Math.floor((x * 37) / width); u < Math.ceil(((x + 1) * 37) / width); u++) {
              sum += pixel(image, u, v, c)
              count++
            }
          }
          const wanted = (sum / count - 127.5) / 128
          worst = Math.max(worst, Math.abs(found[(c * height + y) * width + x]! - wanted))
        }
      }
    }
    t.ok(worst < 1e-7, `${width} x ${height}: off by ${worst}`)
  }
})

t.test('sums that pass 2^32 stay exact', async t => {
  const [width, height] = [4200, 4100]
  const white = { width, height, data: new Uint8Array(width * height * 3).fill(255) }
  const found = new Float32Array(3)
  const average = regionAverager(toIntegral(white), 1)
  average({ left: 4100, top: 4000, right: width, bottom: height }, found, 0)
  t.same([...found], [127.5 / 128, 127.5 / 128, 127.5 / 128])
})

t.test(
  'the pyramid has 12 scales for 1080p and none for a picture smaller than a face',
  async t => {
    t.equal(scalesOf({ width: 1920, height: 1080 }, 20, 0.709).length, 12)
    t.same(scalesOf({ width: 640, height: 19 }, 20, 0.709), [])
  },
)

t.test('suppression keeps what a brute-force search keeps', async t => {
  const random = openRandom('suppress')
  for (const by of ['union', 'smaller'] as const) {
    const boxes = new Float32Array(200 * 4)
    for (let i = 0; i < 200; i++) {
      const [x, y] = [random.below(100), random.below(100)]
      boxes.set([x, y, x + 5 + random.below(40), y + 5 + random.below(40)], i * 4)
    }
    const scores = Float32Array.from({ length: 200 }, () => random.below(50) / 50)
    const left = Array.from(scores.keys()).sort((a, b) => scores[b]! - scores[a]! || a - b)
    const wanted: number[] = []
    const side = (i: number, k: number) => boxes[i * 4 + k]!
    const area = (i: number) => (side(i, 2) - side(i, 0)) * (side(i, 3) - side(i, 1))
    const overlap = (i: number, j: number) => {
      const wide = Math.min(side(i, 2), side(j, 2)) - Math.max(side(i, 0), side(j, 0))
      const high = Math.min(side(i, 3), side(j, 3)) - Math.max(side(i, 1), side(j, 1))
      const shared = Math.max(0, wide) * Math.max(0, high)
      const union = area(i) + area(j) - shared
      return shared / (by === 'union' ? union : Math.min(area(i), area(j)))
    }
    for (const i of left) if (wanted.every(j => overlap(i, j) <= 0.4)) wanted.push(i)
    t.same(suppress(boxes, scores, 0.4, { by }), wanted, by)
  }
  const twins = Float32Array.of(0, 0, 9, 9, 0, 0, 9, 9)
  t.same(suppress(twins, Float32Array.of(1, 1), 0.5), [0])
  t.same(suppress(twins, Float32Array.of(1, 1), 0.5, { ties: 'last' }), [1])
})

t.test('boxes are corrected, squared and cut to whole pixels as the reference does', async t => {
  const boxes = Float32Array.of(10, 20, 30, 60)
  const moved = (edge: number) => [
    ...correct(
      { boxes, scores: Float32Array.of(1), offsets: Float32Array.of(0.5, -0.25, 0, 0.5) },
      edge,
    ),
  ]
  t.same(moved(0), [20, 10, 30, 80])
  t.same(moved(1), [20.5, 9.75, 30, 80.5])
  t.same([...toSquares(boxes)], [0, 20, 40, 60])
  const size = { width: 50, height: 40 }
  t.same(regionOf(Float32Array.of(-3.7, 4.9, 60, 20.2), 0, size), {
    left: 0,
    top: 3,
    right: 50,
    bottom: 20,
  })
  t.equal(regionOf(Float32Array.of(55, 5, 60, 20), 0, size), undefined)
  t.equal(regionOf(Float32Array.of(-9, 5, 0.5, 20), 0, size), undefined)
})

const { tensors } = decodeSafetensors(await readFile(weights), 'mtcnn.safetensors')
const pNetState = new Map(
  [...tensors]
    .filter(([key]) => key.startsWith('pnet.'))
    .map(([key, value]) => [key.slice(5), value]),
)

t.test('the folded P-Net gives the scores and offsets of P-Net', async t => {
  const plain = await openSession<'regression' | 'probability'>(toOnnx(pNet, pNetState), {
    threads: 1,
  })
  const { network, state } = foldProposals(pNetState)
  const folded = await openSession<'cells'>(toOnnx(network, state), { threads: 1 })
  const image = {
    shape: [1, 3, 61, 48],
    values: Float32Array.from(uniforms('folded', 3 * 61 * 48)),
  }
  const { regression, probability } = await plain.run({ image })
  const { cells } = await folded.run({ image })
  await Promise.all([plain.close(), folded.close()])
  t.same(cells.shape, [1, 5, 26, 19])
  const plane = 26 * 19
  const worst = (f: (i: number) => number, count: number) =>
    Math.max(...Array.from({ length: count }, (_, i) => Math.abs(f(i))))
  t.ok(worst(i => cells.values[i]! - regression.values[i]!, 4 * plane) < 2e-6)
  const score = (i: number) => 1 / (1 + Math.exp(-cells.values[4 * plane + i]!))
  t.ok(worst(i => score(i) - probability.values[plane + i]!, plane) < 2e-6)
})

t.test('bands of a picture give the cells of the whole', async t => {
  const { network, state } = foldProposals(pNetState)
  const session = await openSession<'cells'>(toOnnx(network, state), { threads: 1 })
  const integral = toIntegral(noise('bands', 151, 133))
  const whole = await propose(session, integral, [0.9], 0.02, 1e9)
  const bands = await propose(session, integral, [0.9], 0.02, 3000)
  await session.close()
  t.ok(whole.scores.length > 20, `${whole.scores.length} cells`)
  t.same([...bands.boxes], [...whole.boxes])
  t.ok(bands.scores.every((score, i) => Math.abs(score - whole.scores[i]!) < 1e-5))
})

t.test('tiny, flat and noisy pictures have no faces, and nothing fails', async t => {
  const detector = await openDetector()
  const flat = (width: number, height: number) =>
    detector.detect({ width, height, data: new Uint8Array(width * height * 3).fill(90) })
  for (const [width, height] of [
    [1, 1],
    [19, 400],
    [400, 19],
    [20, 20],
    [21, 333],
  ] as const) {
    t.same(await flat(width, height), [], `${width} x ${height}`)
  }
  t.same(await detector.detect(noise('detect', 160, 120)), [])
  await t.rejects(detector.detect({ width: 30, height: 30, data: new Uint8Array(30 * 30 * 4) }), {
    name: 'ShapeError',
    message: 'a picture of 30 x 30 has 3600 bytes, expected 2700 (RGB)',
  })
  await detector.close()
})

t.test('faces of photographs lie where facenet-pytorch finds them', async t => {
  const photos = new URL('../../../datasets/demo/photos/', import.meta.url)
  const wanted = {
    'astronaut.png': [181.051, 62.156, 267.747, 172.05, 205.011, 101.727, 246.763, 103.714],
    'grace-hopper.jpg': [174.402, 119.555, 355.648, 340.457, 221.666, 192.206, 309.829, 186.13],
  }
  const detector = await openDetector()
  const pictures: Picture[] = []
  for (const [name, sides] of Object.entries(wanted)) {
    const picture = await readPicture(fileURLToPath(new URL(name, photos)))
    const faces = await detector.detect(picture)
    t.equal(faces.length, 1, name)
    const found = [...(faces[0]?.box ?? []), ...(faces[0]?.landmarks.subarray(0, 4) ?? [])]
    t.ok(
      sides.every((side, i) => Math.abs(side - found[i]!) < 0.1),
      `${name}: ${found.join(' ')}`,
    )
    t.ok((faces[0]?.probability ?? 0) > 0.999)
    pictures.push(picture)
  }
  // Two photographs side by side, the taller one last: the larger face comes first.
  const wide = { width: 1024, height: 600, data: new Uint8Array(1024 * 600 * 3) }
  pictures.forEach(({ width, height, data }, i) => {
    for (let y = 0; y < height; y++) {
      wide.data.set(data.subarray(y * width * 3, (y + 1) * width * 3), (y * 1024 + i * 512) * 3)
    }
  })
  const both = await detector.detect(wide)
  t.same(
    both.map(({ box }) => (box[0]! < 512 ? 'astronaut' : 'hopper')),
    ['hopper', 'astronaut'],
  )
  await detector.close()
})

t.test(
  'a thread answers what the calling thread answers, in order, also to a bad file',
  async t => {
    const path = new URL('../../../datasets/demo/photos/astronaut.png', import.meta.url)
    const whole = await readFile(path)
    const files = [whole, whole.subarray(0, 9000)]
    async function* items() {
      // Threads start after half a second of work; the answers after that are theirs.
      const start = performance.now()
      for (let i = 0; i < 16 || (performance.now() - start < 4000 && i < 400); i++)
        yield await Promise.resolve(i)
    }
    const gate = { probability: 0.95, minFace: 40 }
    const jobOf = (i: number) => ({ file: files[i % 2]!, gate })
    const answers: unknown[] = []
    for await (const { item, answer } of findFaces(items(), jobOf, { workers: 2, detect: true })) {
      t.equal(item, answers.length)
      answers.push(answer)
    }
    t.match(answers[0], { faces: [{ cropKind: 'detected' }] })
    t.same(answers[1], { rejected: 'truncated_picture' })
    t.ok(
      answers.every((answer, i) => isDeepStrictEqual(answer, answers[i % 2])),
      `${answers.length} answers`,
    )
  },
)

t.test('settings outside their range are refused', async t => {
  await t.rejects(openDetector({ factor: 1 }), {
    name: 'UsageError',
    message: 'factor is 1, expected between 0 and 1',
  })
  await t.rejects(openDetector({ minFace: 0 }), {
    message: 'minFace is 0, expected at least 1 pixel',
  })
})

t.test('the weights are the ones that MTCNN.md names', async t => {
  const found = createHash('sha256')
    .update(await readFile(weights))
    .digest('hex')
  t.match(await readFile(new URL('../assets/MTCNN.md', import.meta.url), 'utf8'), found)
})

t.test('a crop is clipped to the picture, cut to whole pixels and stretched', async t => {
  const data = Uint8Array.from({ length: 8 * 4 * 3 }, (_, i) => (i % 24 < 12 ? 0 : 200))
  const image = { data, width: 8, height: 4 }
  const crop = extractFace(image, [-5.5, 0.9, 8.9, 99])
  t.match([crop.width, crop.height, crop.data.length], [140, 140, 140 * 140 * 3])
  t.match([crop.data[0], crop.data[crop.data.length - 1]], [0, 200])
  t.throws(() => extractFace(image, [9, 0, 12, 4]), {
    name: 'ShapeError',
    message: 'box [9, 0, 12, 4] has no pixel in a picture of 8 x 4',
  })
})

t.test('the triangle filter gives the bytes of Pillow', async t => {
  // Image.resize((5, 4), BILINEAR) and ((40, 9), BILINEAR) by Pillow 10.4 of the noise picture below.
  const image = noise('pillow', 17, 13)
  const all = { left: 0, top: 0, right: 17, bottom: 13 }
  const digest = (width: number, height: number) =>
    createHash('sha256')
      .update(resizeTriangle(image, all, width, height).data)
      .digest('hex')
      .slice(0, 16)
  t.equal(digest(5, 4), 'bc31245a2e85c5ce')
  t.equal(digest(40, 9), 'fa3a0094d1f79117')
})
