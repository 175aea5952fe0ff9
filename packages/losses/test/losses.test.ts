// tap: test/losses.test.ts covers src/*.ts
import { uniforms } from '@deepfever/core'
import { openBackend, tf } from '@deepfever/runtime'
import t from 'tap'

import {
  crossEntropy,
  crossEntropyLoss,
  divergence,
  divergenceLoss,
  regression,
  regressionLoss,
  rkdAngle,
  rkdAngleLoss,
  rkdDistance,
  rkdDistanceLoss,
  smoothL1,
  triplet,
  tripletLoss,
} from '../src/index.ts'
import type { LossBatch } from '../src/index.ts'

await openBackend({ prefer: 'portable' })

type Assertions = { ok(value: unknown, message: string): boolean }

const BLOCKS = [32, 8, 32, 8]
const scalar = (x: tf.Tensor): number => x.dataSync()[0]!
const matrix = (name: string, rows: number, columns: number): tf.Tensor2D =>
  tf.tensor2d(Float32Array.from(uniforms(name, rows * columns)), [rows, columns])
const oddOf = (odd: number[]): tf.Tensor2D =>
  tf.cast(tf.oneHot(tf.tensor1d(odd, 'int32'), 3), 'float32') as tf.Tensor2D
const near = (t: Assertions, found: number, wanted: number, tolerance: number, what: string) =>
  t.ok(
    Math.abs(found - wanted) <= tolerance * Math.max(Math.abs(wanted), 1e-12),
    `${what}: ${found}, expected ${wanted}`,
  )

/** Vectors whose four parts have length 1 each, as the teachers' targets have. */
function unitBlocks(rows: Float64Array): tf.Tensor2D {
  const values = Float32Array.from(rows)
  for (let at = 0, block = 0; at < values.length; at += BLOCKS[block % 4]!, block++) {
    const part = values.subarray(at, at + BLOCKS[block % 4]!)
    const norm = Math.hypot(...part)
    part.forEach((v, i) => (part[i] = v / norm))
  }
  return tf.tensor2d(values, [values.length / 80, 80])
}

/** Largest deviation of the gradient from central differences, relative to its largest entry. */
function againstDifferences(f: (x: tf.Tensor2D) => tf.Scalar, x: tf.Tensor2D, step = 1e-2): number {
  const gradient = tf
    .grad(f as (x: tf.Tensor) => tf.Tensor)(x)
    .dataSync()
  const values = Float32Array.from(x.dataSync())
  const at = (i: number, by: number) => {
    const moved = values.slice()
    moved[i]! += by
    return tf.tidy(() => scalar(f(tf.tensor2d(moved, x.shape))))
  }
  let worst = 0
  let top = 0
  values.forEach((_, i) => {
    const difference = (at(i, step) - at(i, -step)) / (2 * step)
    worst = Math.max(worst, Math.abs(difference - gradient[i]!))
    top = Math.max(top, Math.abs(gradient[i]!))
  })
  return worst / top
}

function statistics(values: ArrayLike<number>): { norm: number; absmax: number; first: number[] } {
  const all = Array.from(values)
  return {
    norm: Math.hypot(...all),
    absmax: all.reduce((top, v) => Math.max(top, Math.abs(v)), 0),
    first: all.slice(0, 8),
  }
}

// Values of the reference implementation: PyTorch 1.13, float64, inputs uniform('<name>').
const GOLDEN_TRIPLET = {
  loss: 0.541176128,
  norm: 0.245016004,
  absmax: 0.0153127322,
  first: [
    0.00482889956, 0.000734128178, 0.00376288193, 0.00397332454, 0.00270329535, 0.00135108315,
    0.000980676315, 0.0010557145,
  ],
}
const GOLDEN_RKD = {
  distance: 0.00464440627,
  angle: 0.00640417544,
  norm: 0.0291793104,
  absmax: 0.00168908709,
  first: [
    -0.000184626062, 8.33639926e-5, -1.64103582e-5, -0.00020586929, 0.000155011503, 0.000399516448,
    -0.000202185624, 1.6036674e-5,
  ],
}
const GOLDEN_DUPLICATES = {
  distance: 0.006921583536730351,
  angle: 0.007317723415984065,
  norm: 0.13140054136723342,
  absmax: 0.014072798665494393,
  first: [
    -0.0008135134968098551, 1.169409238034674e-5, -0.0008038833496005781, 0.00010143302877769899,
    0.0010932565059220201, -0.0006879395898863635, -0.00018928130606128988, 0.000733322038317865,
  ],
}

function checkGradient(
  t: Assertions,
  values: ArrayLike<number>,
  wanted: typeof GOLDEN_TRIPLET | typeof GOLDEN_RKD,
) {
  const found = statistics(values)
  near(t, found.norm, wanted.norm, 1e-4, 'gradient norm')
  near(t, found.absmax, wanted.absmax, 1e-3, 'largest gradient entry')
  const worst = Math.max(...found.first.map((v, i) => Math.abs(v - wanted.first[i]!)))
  t.ok(worst < 1e-4 * wanted.absmax, `first eight gradient entries: ${worst}`)
}

const bothRelations = (teacher: tf.Tensor2D) => (student: tf.Tensor2D) =>
  tf.add(
    tf.mul(rkdDistance(student, teacher), 25),
    tf.mul(rkdAngle(student, teacher), 50),
  ) as tf.Scalar

t.test('triplet', async t => {
  const vectors = tf.tensor2d([
    [1, 2, 2],
    [2, 1, 2],
    [2, 2, -1],
  ])
  const value = (odd: number, margin: number) =>
    scalar(triplet(vectors, oddOf([odd]), tf.tensor1d([margin])))
  near(t, value(2, 0.1), 0, 0, 'the similar pair is nearest: no loss')
  near(t, value(0, 0.1), 1.088888888889, 1e-6, 'another pair is nearest, margin 0.1')
  near(t, value(0, 0.2), 1.288888888889, 1e-6, 'another pair is nearest, margin 0.2')

  const count = 36
  const odd = oddOf(Array.from({ length: count }, (_, i) => i % 3))
  const margin = tf.tensor1d(Array.from({ length: count }, (_, i) => (i % 2 === 0 ? 0.1 : 0.2)))
  const loss = (v: tf.Tensor2D) => triplet(v, odd, margin)
  const input = matrix('triplet_vectors', 108, 32)
  near(t, scalar(loss(input)), GOLDEN_TRIPLET.loss, 1e-6, 'golden loss')
  checkGradient(
    t,
    tf
      .grad(loss as (x: tf.Tensor) => tf.Tensor)(input)
      .dataSync(),
    GOLDEN_TRIPLET,
  )

  const few = (v: tf.Tensor2D) => triplet(v, oddOf([1, 2]), tf.tensor1d([0.5, 0.6]))
  t.ok(againstDifferences(few, matrix('few', 6, 5)) < 5e-3, 'gradient against differences')
  t.ok(
    tf
      .grad(few as (x: tf.Tensor) => tf.Tensor)(tf.zeros([6, 5]))
      .dataSync()
      .every(Number.isFinite),
    'zero vectors have a finite gradient',
  )
  t.throws(() => triplet(matrix('x', 5, 3), oddOf([0, 1]), tf.tensor1d([0.1, 0.1])), {
    name: 'ShapeError',
    message: 'triplet: 5 rows and 2 odd ones for 2 margins, expected 6 and 2',
  })
})

t.test('cross-entropy', async t => {
  const logits = tf.tensor2d([
    [0, 0, 0],
    [1000, 0, 0],
  ])
  near(
    t,
    scalar(crossEntropy(logits, tf.tensor1d([1, 0], 'int32'))),
    Math.log(3) / 2,
    1e-6,
    'mean of ln 3 and 0',
  )
  const labels = tf.tensor1d([2, 0, 1], 'int32')
  const loss = (x: tf.Tensor2D) => crossEntropy(x, labels)
  t.ok(againstDifferences(loss, matrix('logits', 3, 4)) < 5e-3, 'gradient against differences')
  t.throws(() => crossEntropy(logits, labels), {
    name: 'ShapeError',
    message: 'cross-entropy: 3 labels for 2 rows of logits',
  })
})

t.test('relational distillation', async t => {
  const T = tf.tensor2d([
    [1, 0, 0],
    [0, 1, 0],
    [0, 0, 1],
    [0.6, 0.8, 0],
  ])
  const S = tf.tensor2d([
    [0.5, 0.1, -0.2],
    [0, 0.7, 0.3],
    [-0.4, 0.2, 0.9],
    [0.3, 0.3, 0.3],
  ])
  near(t, scalar(rkdDistance(S, T)), 0.017071777723, 1e-5, 'distance of four vectors')
  near(t, scalar(rkdAngle(S, T)), 0.037529258877, 1e-5, 'angle of four vectors')
  near(t, scalar(bothRelations(T)(S)), 2.303257386923, 1e-5, '25 distances + 50 angles')
  t.ok(
    againstDifferences(x => rkdDistance(x, T), S) < 5e-3,
    'distance gradient against differences',
  )
  t.ok(againstDifferences(x => rkdAngle(x, T), S) < 5e-3, 'angle gradient against differences')

  const student = matrix('rkd_student', 140, 80)
  const teacher = unitBlocks(uniforms('rkd_teacher', 140 * 80))
  near(
    t,
    scalar(rkdDistance(student, teacher)),
    GOLDEN_RKD.distance,
    1e-4,
    'golden distance, 140 rows',
  )
  near(t, scalar(rkdAngle(student, teacher)), GOLDEN_RKD.angle, 1e-4, 'golden angle, 140 rows')
  const gradient = tf.grad(bothRelations(teacher) as (x: tf.Tensor) => tf.Tensor)(student)
  checkGradient(t, gradient.dataSync(), GOLDEN_RKD)
})

t.test('relational distillation with the same face twice', async t => {
  const rows = uniforms('duplicate_teacher', 20 * 80)
  rows.set(rows.slice(3 * 80, 4 * 80), 11 * 80)
  const teacher = unitBlocks(rows)
  const student = matrix('duplicate_student', 20, 80)
  near(t, scalar(rkdDistance(student, teacher)), GOLDEN_DUPLICATES.distance, 1e-4, 'distance')
  near(t, scalar(rkdAngle(student, teacher)), GOLDEN_DUPLICATES.angle, 1e-4, 'angle')
  const loss = bothRelations(teacher) as (x: tf.Tensor) => tf.Tensor
  checkGradient(t, tf.grad(loss)(student).dataSync(), GOLDEN_DUPLICATES)
  const same = tf.tensor2d([
    [1, 2],
    [1, 2],
    [3, 4],
  ])
  const gradient = tf.grad(bothRelations(same) as (x: tf.Tensor) => tf.Tensor)(same)
  t.ok(gradient.dataSync().every(Number.isFinite), 'equal student rows have a finite gradient')
})

t.test('smooth L1 is a parabola within 1 and a line outside', async t => {
  const x = tf.tensor1d([-3, -1, -0.5, 0, 0.5, 1, 3])
  t.strictSame(Array.from(smoothL1(x).dataSync()), [2.5, 0.5, 0.125, 0, 0.125, 0.5, 2.5])
  t.strictSame(
    Array.from(
      tf
        .grad(y => smoothL1(y))(x)
        .dataSync(),
    ),
    [-1, -1, -0.5, 0, 0.5, 1, 1],
  )
})

t.test('regression and divergence', async t => {
  const student = tf.tensor2d([
    [1, 2],
    [3, 0],
  ])
  const teacher = tf.tensor2d([
    [1, 4],
    [2.5, 0],
  ])
  near(t, scalar(regression(student, teacher, 'mean-squared')), 4.25 / 4, 1e-6, 'mean squared')
  near(t, scalar(regression(student, teacher, 'smooth-l1')), 1.625 / 4, 1e-6, 'smooth L1')
  const options = { temperature: 2, blocks: [2] }
  near(t, scalar(divergence(teacher, teacher, options)), 0, 0, 'equal vectors do not diverge')
  const kl = (p: number, q: number) => p * Math.log(p / q) + (1 - p) * Math.log((1 - p) / (1 - q))
  const share = (a: number, b: number) => 1 / (1 + Math.exp((b - a) / 2))
  const wanted = (4 * (kl(share(1, 4), share(1, 2)) + kl(share(2.5, 0), share(3, 0)))) / 2
  near(t, scalar(divergence(student, teacher, options)), wanted, 1e-5, 'two classes by hand')
  const wide = matrix('teacher', 2, 6)
  const apart = (x: tf.Tensor2D) => divergence(x, wide, { temperature: 1, blocks: [4, 2] })
  t.ok(againstDifferences(apart, matrix('student', 2, 6)) < 1e-2, 'divergence gradient')
  t.ok(
    againstDifferences(x => regression(x, wide, 'smooth-l1'), matrix('student', 2, 6)) < 1e-2,
    'smooth L1 gradient',
  )
  t.throws(() => divergence(wide, wide, { temperature: 1, blocks: [3, 2] }), {
    name: 'ShapeError',
    message: "kl-divergence: blocks 3 + 2 are 5 wide, expected 6, the output's width",
  })
})

t.test('a loss takes its rows from the batch', async t => {
  const odd = oddOf([1])
  const margin = tf.tensor1d([0.5])
  const labels = tf.tensor1d([2, 0], 'int32')
  const output = matrix('output', 7, 4)
  const targets = matrix('targets', 7, 4)
  const batch: LossBatch = { odd, margin, labels, targets }
  const head = { head: 'any', weight: 2 }
  const expected: [
    { name: string; weight: number; value: (o: tf.Tensor2D, b: LossBatch) => tf.Scalar },
    string,
    tf.Scalar,
  ][] = [
    [tripletLoss(head), 'triplet', triplet(tf.slice(output, 0, [3, 4]), odd, margin)],
    [
      crossEntropyLoss(head),
      'cross-entropy',
      crossEntropy(tf.slice(output, [3, 0], [2, 4]), labels),
    ],
    [rkdDistanceLoss(head), 'rkd-distance', rkdDistance(output, targets)],
    [rkdAngleLoss(head), 'rkd-angle', rkdAngle(output, targets)],
    [
      regressionLoss({ ...head, kind: 'smooth-l1' }),
      'smooth-l1',
      regression(output, targets, 'smooth-l1'),
    ],
    [
      divergenceLoss({ ...head, temperature: 1, blocks: [4] }),
      'kl-divergence',
      divergence(output, targets, { temperature: 1, blocks: [4] }),
    ],
  ]
  for (const [loss, name, wanted] of expected) {
    t.equal(loss.name, name)
    t.equal(loss.weight, 2)
    t.equal(scalar(loss.value(output, batch)), scalar(wanted), name)
  }
  t.throws(() => rkdAngleLoss(head).value(output, { odd, margin, labels }), {
    name: 'ShapeError',
    message: /^rkd-angle: targets are missing, expected \[7,4\], one row an image/,
  })
})
