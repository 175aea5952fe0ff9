// tap: test/metrics.test.ts covers src/metrics.ts src/triplet-accuracy.ts src/bootstrap.ts src/lbfgs.ts src/line-search.ts src/triplets.ts
import t from 'tap'
import { bootstrapAccuracy } from '../src/bootstrap.ts'
import { minimize, type Objective } from '../src/lbfgs.ts'
import { scoreClasses } from '../src/metrics.ts'
import { scoreTriplets } from '../src/triplet-accuracy.ts'
import { evaluateTriplets } from '../src/triplets.ts'

t.test('rates by class follow from the confusion matrix', t => {
  const labels = Int32Array.of(0, 0, 0, 0, 1, 1)
  const predicted = Int32Array.of(0, 0, 0, 1, 1, 0)
  const score = scoreClasses(labels, predicted, ['calm', 'angry', 'absent'])
  t.same(score.confusion, [
    [3, 1, 0],
    [1, 1, 0],
    [0, 0, 0],
  ])
  t.equal(score.accuracy, 4 / 6)
  t.equal(score.balancedAccuracy, (0.75 + 0.5) / 2, 'over classes that occur')
  t.same(score.classes[0], { name: 'calm', support: 4, precision: 0.75, recall: 0.75, f1: 0.75 })
  t.same(score.classes[2], { name: 'absent', support: 0, precision: null, recall: null, f1: null })
  t.throws(() => scoreClasses(labels, Int32Array.of(0), ['a']), {
    message: /6 labels, 1 predictions/,
  })
  t.throws(() => scoreClasses(labels, predicted, ['a']), {
    message: /predicted as 1; expected 0 to 0/,
  })
  t.end()
})

t.test('a triplet is right when its pair is strictly nearest on the unit sphere', t => {
  const vectors = Float32Array.of(1, 2, 2, 20, 10, 20, 2, 2, -1)
  const judge = (odd: number, rows: [number, number, number] = [0, 1, 2]) =>
    scoreTriplets([{ rows, odd, kind: 'ONE' }], vectors, 3).overall.correct
  t.equal(judge(2), 1, 'lengths do not matter')
  t.equal(judge(0), 0)
  t.equal(judge(2, [0, 0, 0]), 0, 'equal distances are wrong')
  t.throws(() => judge(3), { name: 'ShapeError', message: /odd face 3/ })
  t.throws(() => judge(1, [0, 1, 9]), { name: 'ShapeError', message: /row 9, expected below 3/ })
  t.end()
})

t.test('triplets are counted by kind, and those without a face stand apart', t => {
  const vectors = Float32Array.of(1, 0, 1, 0.1, 0, 1)
  const result = evaluateTriplets(
    [
      { rows: [0, 1, 2], odd: 2, kind: 'ONE' },
      { rows: [0, 1, 2], odd: 0, kind: 'TWO' },
      { rows: [0, -1, 2], odd: 0, kind: 'TWO' },
      { rows: [-1, 1, 2], odd: 0, kind: 'SIX' },
      { rows: [0, 1, 2], odd: 2, kind: 'TWO', leaked: true },
    ],
    vectors,
    2,
    'seed',
  )
  t.same(result.triplets, [
    { kind: 'all', n: 2, correct: 1, accuracy: 0.5, missing: 2, leaked: 1 },
    { kind: 'ONE', n: 1, correct: 1, accuracy: 1, missing: 0, leaked: 0 },
    { kind: 'SIX', n: 0, correct: 0, accuracy: null, missing: 1, leaked: 0 },
    { kind: 'TWO', n: 1, correct: 0, accuracy: 0, missing: 1, leaked: 1 },
  ])
  t.match(result.headline, { value: 0.5, n: 2, whole: { value: 1 / 4, n: 4 } })
  t.match(result.beside, [{ value: 2 / 3, n: 3, whole: { value: 2 / 5, n: 5 } }], 'leaked included')
  t.same([...result.answers], [2, 2, -1, -1, 2], 'leaked ones are answered too')
  t.end()
})

t.test('a bootstrap interval is seeded and as wide as theory says', t => {
  const outcomes = Uint8Array.from({ length: 3068 }, (_, i) => (i % 8 === 0 ? 0 : 1))
  const interval = bootstrapAccuracy(outcomes, 'a')!
  t.same(interval, bootstrapAccuracy(outcomes, 'a'))
  t.notSame(interval, bootstrapAccuracy(outcomes, 'b'))
  const half = 1.96 * Math.sqrt((0.875 * 0.125) / 3068)
  t.ok(Math.abs((interval.high - interval.low) / 2 - half) < 0.1 * half, JSON.stringify(interval))
  t.equal(bootstrapAccuracy(new Uint8Array(0), 'a'), null)
  t.end()
})

t.test('the minimiser crosses the Rosenbrock valley and says why it stopped', t => {
  const rosenbrock: Objective = (at, gradient) => {
    const [x, y] = [at[0]!, at[1]!]
    gradient[0] = -400 * x * (y - x * x) - 2 * (1 - x)
    gradient[1] = 200 * (y - x * x)
    return 100 * (y - x * x) ** 2 + (1 - x) ** 2
  }
  const start = Float64Array.of(-1.2, 1)
  const found = minimize(rosenbrock, start, { tolerance: 1e-10, maxIter: 200 })
  t.equal(found.reason, 'gradient')
  t.ok(Math.hypot(found.at[0]! - 1, found.at[1]! - 1) < 1e-8, [...found.at].join())
  t.ok(found.evaluations < 70, `${found.evaluations} evaluations`)
  const short = minimize(rosenbrock, start, { tolerance: 0, maxIter: 3 })
  t.match(short, { reason: 'iterations', iteration: 3 })
  t.equal(minimize(rosenbrock, start, { tolerance: 0, maxIter: 1000 }).reason.length > 0, true)
  const at = Float64Array.of(1, 1)
  t.match(minimize(rosenbrock, at, { tolerance: 1e-6, maxIter: 9 }), { iteration: 0, value: 0 })
  t.end()
})
