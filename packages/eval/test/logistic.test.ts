// tap: test/logistic.test.ts covers src/logistic.ts src/softmax-loss.ts src/softmax-team.ts src/probe-kernel.ts src/wasm-code.ts
import { readFileSync } from 'node:fs'
import t from 'tap'
import { verifyLogistic, type LogisticReference } from '../../../tools/verify/logistic.ts'
import {
  balanceClasses,
  fitLogistic,
  fitLogisticInThreads,
  logProbabilities,
  type LogisticFit,
} from '../src/logistic.ts'
import { openProbeKernel } from '../src/probe-kernel.ts'
import { CHUNK_ROWS, openSoftmaxLoss } from '../src/softmax-loss.ts'
import { drawBlobs } from './blobs.ts'

t.test('the reference optima are met on formula data', t => {
  for (const name of ['logistic', 'logistic-newton']) {
    const json = readFileSync(new URL(`golden/${name}.json`, import.meta.url), 'utf8')
    const rows = verifyLogistic(JSON.parse(json) as LogisticReference)
    t.same(
      rows.filter(row => !row.ok),
      [],
      name,
    )
    t.ok(rows.length > 100, `${rows.length} numbers compared`)
  }
  t.end()
})

t.test('the kernel multiplies as plain loops do, for shapes that need padding', t => {
  for (const [width, classes] of [
    [5, 3],
    [32, 7],
    [256, 8],
  ] as const) {
    const kernel = openProbeKernel(width, classes)
    const { widthStride, classStride, features, weights, scores, gradient } = kernel
    features.forEach((_, i) => (features[i] = Math.sin(i)))
    weights.forEach((_, i) => (weights[i] = Math.cos(i)))
    kernel.multiply(64)
    let worst = 0
    for (let row = 0; row < 64; row++) {
      for (let k = 0; k < classStride; k++) {
        let sum = 0
        for (let j = 0; j < widthStride; j++) {
          sum += features[row * widthStride + j]! * weights[k * widthStride + j]!
        }
        worst = Math.max(worst, Math.abs(sum - scores[row * classStride + k]!))
      }
    }
    gradient.fill(1)
    kernel.accumulate(64)
    for (let k = 0; k < classStride; k++) {
      for (let j = 0; j < widthStride; j++) {
        let sum = 1
        for (let row = 0; row < 64; row++) {
          sum += scores[row * classStride + k]! * features[row * widthStride + j]!
        }
        worst = Math.max(worst, Math.abs(sum - gradient[k * widthStride + j]!))
      }
    }
    t.ok(worst < 1e-12, `${width} x ${classes}: ${worst}`)
  }
  t.end()
})

t.test('the gradient is the slope of the loss, across blocks, chunks and an odd last row', t => {
  const rows = CHUNK_ROWS + 65
  const data = drawBlobs('slope', rows, 3, 3)
  const loss = openSoftmaxLoss(data, Float64Array.of(1, 2, 0.5))
  t.equal(loss.chunks, 2)
  const at = Float64Array.from({ length: 12 }, (_, i) => Math.sin(i + 1))
  const total = (point: Float64Array) => {
    const sums = new Float64Array(loss.sumsLength)
    const all = new Float64Array(loss.sumsLength)
    for (let chunk = 0; chunk < loss.chunks; chunk++) {
      loss.chunk(chunk, point, sums)
      sums.forEach((value, i) => (all[i]! += value))
    }
    return all
  }
  const found = total(at)
  at.forEach((value, i) => {
    const side = (sign: number) => total(at.with(i, value + sign * 1e-5))[12]!
    const slope = (side(1) - side(-1)) / 2e-5
    t.ok(Math.abs(slope - found[i]!) < 1e-4 * Math.max(1, Math.abs(slope)), `parameter ${i}`)
  })
  t.end()
})

t.test('a Newton solve finds the same optimum', t => {
  const data = drawBlobs('newton', 240, 4, 3)
  for (const C of [0.1, 1, 100]) {
    const fit = fitLogistic({ ...data, classes: 3, C, tolerance: 1e-10 })
    const exact = solveByNewton(data.features, data.labels, 4, 3, C)
    const worst = fit.weights.reduce((max, w, i) => Math.max(max, Math.abs(w - exact[i]!)), 0)
    t.ok(worst < 1e-6, `C ${C}: weights differ by ${worst}`)
  }
  t.end()
})

t.test('columns of the weights sum to zero, and the gradient is small at the optimum', t => {
  const fit = fitLogistic({ ...drawBlobs('sums', 900, 6, 4), classes: 4, C: 10, balanced: true })
  for (let j = 0; j < 6; j++) {
    const sum = [0, 1, 2, 3].reduce((total, k) => total + fit.weights[k * 6 + j]!, 0)
    t.ok(Math.abs(sum) < 1e-6, `column ${j}: ${sum}`)
  }
  t.equal(fit.reason, 'gradient')
  t.ok(fit.gradientMax < 1e-6, `${fit.gradientMax}`)
  t.end()
})

t.test('balanced weights are n / (classes * rows of the class)', t => {
  const counts = [74874, 134415, 25459, 14090, 6378, 3803, 24882, 3750]
  const labels = Int32Array.from(counts.flatMap((n, k) => Array<number>(n).fill(k)))
  t.same(
    [...balanceClasses(labels, 8)].map(w => w.toFixed(6)),
    [
      '0.480225',
      '0.267503',
      '1.412325',
      '2.551907',
      '5.637563',
      '9.454740',
      '1.445076',
      '9.588367',
    ],
  )
  t.end()
})

t.test('the snapshot is what a fit stopped there would give', t => {
  const data = drawBlobs('snapshot', 500, 8, 5)
  const whole = fitLogistic({ ...data, classes: 5, C: 10_000, snapshotAt: 7 })
  const stopped = fitLogistic({ ...data, classes: 5, C: 10_000, maxIter: 7 })
  t.equal(stopped.reason, 'iterations')
  t.same(whole.snapshot.weights, stopped.weights)
  t.ok(whole.objective < stopped.objective)
  const early: LogisticFit = fitLogistic({ ...data, classes: 5, C: 1, snapshotAt: 5000 })
  t.same(early.snapshot.weights, early.weights, 'a fit that ends earlier is its own snapshot')
  t.end()
})

t.test('threads share the work without changing a bit', async t => {
  const data = drawBlobs('threads', 3 * CHUNK_ROWS - 100, 9, 3)
  const features = new Float32Array(new SharedArrayBuffer(data.features.byteLength))
  features.set(data.features)
  const options = { ...data, features, classes: 3, C: 10 }
  const alone = fitLogistic(options)
  const together = await fitLogisticInThreads(options, 2)
  t.same(together.weights, alone.weights)
  t.equal(together.objective, alone.objective)
  await t.rejects(fitLogisticInThreads({ ...options, features: data.features }, 2), {
    name: 'ShapeError',
    message: /expected a SharedArrayBuffer/,
  })
})

t.test('probabilities of a row sum to one', t => {
  const data = drawBlobs('probabilities', 67, 5, 3)
  const logs = logProbabilities(fitLogistic({ ...data, classes: 3, C: 1 }), data.features)
  for (let row = 0; row < 67; row++) {
    const sum = [0, 1, 2].reduce((total, k) => total + Math.exp(logs[row * 3 + k]!), 0)
    if (Math.abs(sum - 1) > 1e-12) t.fail(`row ${row} sums to ${sum}`)
  }
  t.end()
})

t.test('shapes that do not fit are named', t => {
  const fit = (labels: number[], numbers: number, width = 2, C = 1) =>
    fitLogistic({
      features: new Float32Array(numbers),
      labels: Int32Array.from(labels),
      width,
      classes: 2,
      C,
    })
  t.throws(() => fit([0, 1], 5), { name: 'ShapeError', message: /hold 5 numbers.*width 2/ })
  t.throws(() => fit([0, 1], 6), { name: 'ShapeError', message: /3 rows of features, 2 labels/ })
  t.throws(() => fit([], 0), { name: 'ShapeError', message: /above 0/ })
  t.throws(() => fit([0, -1], 4), { name: 'ShapeError', message: /label 1 is -1, expected 0 to 1/ })
  t.throws(() => fit([0, 1], 4, 2, 0), { name: 'ShapeError', message: /C is 0/ })
  t.end()
})

/** Newton steps with a full Hessian; the bias null direction gets a tiny ridge. */
function solveByNewton(
  features: Float32Array,
  labels: Int32Array,
  width: number,
  classes: number,
  C: number,
): Float64Array {
  const size = classes * (width + 1)
  const at = new Float64Array(size)
  const input = (row: number, j: number) => (j === width ? 1 : features[row * width + j]!)
  const slot = (k: number, j: number) => (j === width ? classes * width + k : k * width + j)
  for (let step = 0; step < 30; step++) {
    const gradient = new Float64Array(size)
    const hessian = Array.from({ length: size }, () => new Float64Array(size))
    for (let i = 0; i < size; i++) {
      const ridge = i < classes * width ? 1 / C : 1e-9
      gradient[i] = ridge * at[i]!
      hessian[i]![i] = ridge
    }
    labels.forEach((label, row) => {
      const scores = Array.from({ length: classes }, (_, k) => {
        let score = 0
        for (let j = 0; j <= width; j++) score += at[slot(k, j)]! * input(row, j)
        return score
      })
      const total = scores.reduce((sum, s) => sum + Math.exp(s), 0)
      const shares = scores.map(s => Math.exp(s) / total)
      for (let k = 0; k < classes; k++) {
        for (let j = 0; j <= width; j++) {
          gradient[slot(k, j)]! += (shares[k]! - (k === label ? 1 : 0)) * input(row, j)
          for (let l = 0; l < classes; l++) {
            const curve = shares[k]! * ((k === l ? 1 : 0) - shares[l]!)
            for (let m = 0; m <= width; m++) {
              hessian[slot(k, j)]![slot(l, m)]! += curve * input(row, j) * input(row, m)
            }
          }
        }
      }
    })
    const move = eliminate(hessian, gradient)
    for (let i = 0; i < size; i++) at[i]! -= move[i]!
  }
  return at
}

function eliminate(matrix: Float64Array[], right: Float64Array): Float64Array {
  const n = right.length
  for (let i = 0; i < n; i++) {
    for (let r = i + 1; r < n; r++) {
      const factor = matrix[r]![i]! / matrix[i]![i]!
      for (let c = i; c < n; c++) matrix[r]![c]! -= factor * matrix[i]![c]!
      right[r]! -= factor * right[i]!
    }
  }
  const solution = new Float64Array(n)
  for (let i = n - 1; i >= 0; i--) {
    let sum = right[i]!
    for (let c = i + 1; c < n; c++) sum -= matrix[i]![c]! * solution[c]!
    solution[i] = sum / matrix[i]![i]!
  }
  return solution
}
