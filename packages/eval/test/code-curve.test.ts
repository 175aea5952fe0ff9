// tap: test/code-curve.test.ts covers src/code-curve.ts src/report-codes.ts
import { openRandom } from '@deepfever/core'
import t from 'tap'
import { measureCodes } from '../src/code-curve.ts'
import { codesSection } from '../src/report-codes.ts'

const WIDTH = 16

/** Rows around eight directions, told apart by the nearest one. */
function drawRows(rows: number) {
  const random = openRandom('curve')
  const heads = Float32Array.from({ length: 8 * WIDTH }, () => random.normal())
  return Float32Array.from(
    { length: rows * WIDTH },
    (_, i) => 5 * heads[(Math.floor(i / WIDTH) % 8) * WIDTH + (i % WIDTH)]! + 2 * random.normal(),
  )
}

/** Share of judged rows whose nearest known row is of their own direction. */
function judge(known: Float32Array, judged: Float32Array) {
  let right = 0
  const count = judged.length / WIDTH
  for (let row = 0; row < count; row++) {
    let [best, least] = [-1, Infinity]
    for (let other = 0; other < known.length / WIDTH; other++) {
      if (known === judged && other === row) continue
      let distance = 0
      for (let d = 0; d < WIDTH; d++)
        distance += (judged[row * WIDTH + d]! - known[other * WIDTH + d]!) ** 2
      if (distance < least) [best, least] = [other, distance]
    }
    if (best % 8 === row % 8) right++
  }
  return { label: 'Accuracy', value: right / count, n: count, interval: null, note: '' }
}

t.test('more bytes lose less, and the last point is what is not coded', async t => {
  const known = drawRows(400)
  const judged = drawRows(480).slice(400 * WIDTH)
  const curve = await measureCodes({ width: WIDTH, known, judged }, '1', judge)
  t.match(curve, { measure: 'Accuracy', nearest: 10, learnedFrom: 200 })
  t.strictSame(
    curve.points.map(({ bytes }) => bytes),
    [1, 2, 4, 8, 16, 64],
  )
  for (const [i, point] of curve.points.entries()) {
    const before = curve.points[i - 1]
    if (before) t.ok(point.cosine > before.cosine, `${point.bytes} bytes: ${point.cosine}`)
  }
  const [least, ...more] = curve.points
  const most = more.at(-1)!
  t.match(most, { recall: 1 })
  t.ok(Math.abs(most.cosine - 1) < 1e-6)
  t.ok(least!.recall < 0.5 && more.at(-2)!.recall > 0.8, 'recall rises')
  const lengths = Math.hypot(...known.subarray(0, WIDTH))
  t.ok(lengths > 10 && most.accuracy! > 0.9 && least!.accuracy! > 0.5)
})

t.test('few rows are not known by heart: a row is coded by what others taught', async t => {
  const rows = drawRows(40)
  const curve = await measureCodes({ width: WIDTH, known: rows, judged: rows }, '1', judge)
  const [least] = curve.points
  t.equal(curve.learnedFrom, 20)
  t.ok(least!.cosine < 0.99, `${least!.cosine}; a codebook of the rows themselves would give 1`)
  t.same(await measureCodes({ width: WIDTH, known: rows, judged: rows }, '1', judge), curve)
})

t.test('the page draws every point and says the same in a table', async t => {
  const rows = drawRows(60)
  const page = codesSection(
    await measureCodes({ width: WIDTH, known: rows, judged: rows }, '1', judge),
  ).toString()
  t.equal(page.match(/<circle/g)?.length, 6)
  t.equal(page.match(/<th scope="row">/g)?.length, 6)
  t.match(page, /role="img"[^>]*aria-label="Accuracy/s)
  t.notMatch(page, /NaN|undefined/)
})
