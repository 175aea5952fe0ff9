// tap: test/product-codes.test.ts covers src/product-codes.ts
import { openRandom } from '@deepfever/core'
import t from 'tap'
import { decodeVectors, encodeVectors, searchCodes, trainCodebook } from '../src/index.ts'

const WIDTH = 16

/** Vectors around 12 directions. */
function drawVectors(rows: number): Float32Array {
  const random = openRandom('vectors')
  const heads = Float32Array.from({ length: 12 * WIDTH }, () => random.normal())
  return Float32Array.from(
    { length: rows * WIDTH },
    (_, i) => heads[(Math.floor(i / WIDTH) % 12) * WIDTH + (i % WIDTH)]! + 0.2 * random.normal(),
  )
}

const cosine = (a: Float32Array, b: Float32Array) => {
  const dot = (x: Float32Array, y: Float32Array) => x.reduce((sum, v, i) => sum + v * y[i]!, 0)
  return dot(a, b) / Math.sqrt(dot(a, a) * dot(b, b))
}
const rowOf = (vectors: Float32Array, row: number) =>
  vectors.subarray(row * WIDTH, (row + 1) * WIDTH)

t.test('more bytes a vector lie nearer, and a code is a byte a part', async t => {
  const vectors = drawVectors(600)
  const errorOf = async (parts: number) => {
    const book = await trainCodebook(vectors, WIDTH, { parts })
    const codes = await encodeVectors(book, vectors)
    t.equal(codes.length, 600 * parts)
    const near = decodeVectors(book, codes)
    let sum = 0
    for (let row = 0; row < 600; row++) sum += 1 - cosine(rowOf(vectors, row), rowOf(near, row))
    return sum / 600
  }
  const errors = [await errorOf(1), await errorOf(4), await errorOf(16)]
  t.ok(errors[0]! > 2 * errors[1]! && errors[1]! > 2 * errors[2]!, errors.join(', '))
  t.ok(errors[2]! < 1e-3)
})

t.test('a search answers what the decoded vectors say, best first', async t => {
  const vectors = drawVectors(500)
  const book = await trainCodebook(vectors, WIDTH, { parts: 4 })
  const codes = await encodeVectors(book, vectors)
  const near = decodeVectors(book, codes)
  const query = rowOf(drawVectors(7), 5)
  const hits = searchCodes(book, codes, query, 9)
  const wanted = Array.from({ length: 500 }, (_, row) => cosine(query, rowOf(near, row)))
  const best = [...wanted].sort((a, b) => b - a)
  hits.forEach(({ row, cosine: found }, i) => {
    t.ok(Math.abs(found - wanted[row]!) < 1e-6)
    t.ok(Math.abs(found - best[i]!) < 1e-6)
  })
  t.equal(searchCodes(book, codes, query, 900).length, 500)
})

t.test('equal input gives equal codes; few rows are codes of themselves', async t => {
  const vectors = drawVectors(40)
  const train = () => trainCodebook(vectors, WIDTH, { parts: 2, seed: 1 })
  const [a, b] = [await train(), await train()]
  t.same(a, b)
  const near = decodeVectors(a, await encodeVectors(a, vectors))
  for (let row = 0; row < 40; row++) t.ok(cosine(rowOf(vectors, row), rowOf(near, row)) > 1 - 1e-6)
})

t.test('what cannot be coded is refused', async t => {
  const vectors = drawVectors(4)
  await t.rejects(trainCodebook(vectors, WIDTH, { parts: 5 }), {
    message: '5 parts, wanted a divisor of 16, the width of the vectors',
  })
  await t.rejects(trainCodebook(vectors.subarray(1), WIDTH, { parts: 4 }), {
    message: '63 numbers, wanted rows of 16, at least one',
  })
  vectors[17] = NaN
  await t.rejects(trainCodebook(vectors, WIDTH, { parts: 4 }), {
    message: 'row 1 holds a value that is not finite',
  })
})
