// tap: test/step.test.ts covers src/step.ts, src/sgd.ts, src/trainer.ts, src/eager-trainer.ts, src/compiled-trainer.ts, src/batch-feeds.ts, src/training-state.ts
import { uniforms } from '@deepfever/core'
import type { StateDict } from '@deepfever/formats'
import { crossEntropyLoss, rkdAngleLoss, rkdDistanceLoss, tripletLoss } from '@deepfever/losses'
import { STUDENT, formulaWeights, studentNetwork } from '@deepfever/models'
import { dropoutMask, forward, loadParameters } from '@deepfever/models/tfjs'
import { nativeMissing, openBackend, tf, type Backend } from '@deepfever/runtime'
import t from 'tap'

import { openTrainer } from '../src/trainer.ts'
import type { TrainingBatch } from '../src/batch-feeds.ts'
import type { TrainerOptions } from '../src/trainer.ts'

const SIZE = 32
const ROWS = 12
const network = studentNetwork({
  ...STUDENT,
  size: SIZE,
  embedding: 16,
  heads: { fec: 8, affectnet: 4, distill: 12 },
  backbone: { kind: 'densenet', growth: 4, blocks: [2, 2], stem: 8, bottleneck: 2 },
})
const losses = [
  tripletLoss({ head: 'fec', weight: 1 }),
  crossEntropyLoss({ head: 'affectnet', weight: 0.1 }),
  rkdDistanceLoss({ head: 'distill', weight: 25 }),
  rkdAngleLoss({ head: 'distill', weight: 50 }),
]
const floats = (name: string, count: number) => Float32Array.from(uniforms(name, count))
const batch: TrainingBatch & { targets: Float32Array } = {
  images: floats('images', ROWS * SIZE * SIZE * 3),
  size: SIZE,
  odd: [2, 0],
  margin: [0.1, 0.2],
  labels: [3, 0, 1],
  targets: floats('targets', ROWS * 12),
  mask: dropoutMask(
    floats('dropout', ROWS * 16).map(u => (u + 1) / 2),
    0.2,
  ),
}
type Test = Pick<typeof t, 'test'>

/** What every engine must hold. */
function testEngine(t: Test, backend: Backend, engine: 'eager' | 'compiled') {
  const options: TrainerOptions = {
    backend,
    engine,
    network,
    losses,
    momentum: 0.9,
    weights: formulaWeights(network, 'student.'),
  }

  /** Trains and gives the reports, the final state as one buffer a tensor, and the weights. */
  async function train(changes: Partial<TrainerOptions>, steps: number, rate = 0.02) {
    const trainer = openTrainer({ ...options, ...changes })
    const totals: number[] = []
    for (let i = 0; i < steps; i++) totals.push((await trainer.step(batch, rate)).total)
    const state = await trainer.read()
    trainer.close()
    return { totals, ...state }
  }
  const valuesOf = (state: StateDict, name: string) =>
    Array.from(state.get(name)!.values as Float32Array)

  t.test('a few steps on one batch lower every loss', async t => {
    const trainer = openTrainer(options)
    const first = await trainer.step(batch, 0.02)
    for (let i = 0; i < 8; i++) await trainer.step(batch, 0.02)
    const last = await trainer.step(batch, 0.02)
    trainer.close()
    t.strictSame(Object.keys(first.losses), [
      'triplet',
      'cross-entropy',
      'rkd-distance',
      'rkd-angle',
    ])
    t.ok(last.total < 0.8 * first.total, `total ${first.total} to ${last.total}`)
    const sum = losses.reduce((total, { name, weight }) => total + weight * first.losses[name]!, 0)
    t.ok(Math.abs(sum - first.total) < 1e-5, 'the total is the weighted sum')
  })

  t.test('the same start and batches give the same bytes', async t => {
    const [one, two] = [await train({}, 3), await train({}, 3)]
    t.strictSame(one.totals, two.totals)
    for (const part of ['weights', 'velocity'] as const)
      for (const [name, { values }] of one[part])
        t.strictSame(two[part].get(name)!.values, values, name)
  })

  t.test('weights and momentum carry a run on', async t => {
    const whole = await train({}, 4)
    const half = await train({}, 2)
    const rest = await train({ weights: half.weights, velocity: half.velocity }, 2)
    t.strictSame([...half.totals, ...rest.totals], whole.totals)
    t.strictSame(rest.weights, whole.weights)
    t.strictSame(rest.velocity, whole.velocity)
  })

  t.test('batch-norm batches: joint or one a data set', async t => {
    const joint = await train({}, 1)
    const separate = await train({ parts: [6, 3, 3] }, 1)
    t.not(separate.totals[0], joint.totals[0])
    // Running means move towards each part's mean in turn.
    const name = 'backbone.features.norm0.running_mean'
    const start = valuesOf(options.weights, name)
    const partMeans = await Promise.all(
      [
        [0, 6],
        [6, 3],
        [9, 3],
      ].map(async ([from, rows]) => {
        const pixels = SIZE * SIZE * 3
        const part: TrainingBatch = {
          images: batch.images.slice(from! * pixels, (from! + rows!) * pixels),
          size: SIZE,
          odd: [],
          margin: [],
          labels: [],
          targets: batch.targets.slice(from! * 12, (from! + rows!) * 12),
        }
        const trainer = openTrainer({ ...options, losses: losses.slice(2) })
        await trainer.step(part, 0)
        const { weights } = await trainer.read()
        trainer.close()
        return valuesOf(weights, name).map((v, i) => (v - 0.9 * start[i]!) / 0.1)
      }),
    )
    const wanted = start.map((s, i) =>
      partMeans.reduce((mean, part) => 0.9 * mean + 0.1 * part[i]!, s),
    )
    const worst = Math.max(
      ...valuesOf(separate.weights, name).map((v, i) => Math.abs(v - wanted[i]!)),
    )
    t.ok(worst < 1e-5, `running means differ by ${worst}`)
  })

  t.test("the update is Nesterov momentum in torch's convention", async t => {
    const name = 'heads.distill.weight'
    const trainer = openTrainer({ ...options, watched: [name] })
    const one = (await trainer.step(batch, 0.02)).gradients
    const two = (await trainer.step(batch, 0.005)).gradients
    const { weights, velocity } = await trainer.read()
    trainer.close()
    const start = valuesOf(options.weights, name)
    const [g1, g2] = [valuesOf(one, name), valuesOf(two, name)]
    start.forEach((s, i) => {
      const v2 = 0.9 * g1[i]! + g2[i]!
      const wanted = s - 0.02 * 1.9 * g1[i]! - 0.005 * (g2[i]! + 0.9 * v2)
      if (Math.abs(valuesOf(weights, name)[i]! - wanted) > 1e-6) t.fail(`weight ${i}`)
      if (Math.abs(valuesOf(velocity, name)[i]! - v2) > 1e-6) t.fail(`velocity ${i}`)
    })
  })

  t.test('gradients agree with differences of the loss', async t => {
    const names = ['backbone.features.conv0.weight', 'project.bn.weight', 'heads.distill.weight']
    const trainer = openTrainer({ ...options, watched: names })
    const { gradients } = await trainer.step(batch, 0)
    trainer.close()
    for (const name of names) {
      const gradient = valuesOf(gradients, name)
      const at = gradient.reduce(
        (best, g, i) => (Math.abs(g) > Math.abs(gradient[best]!) ? i : best),
        0,
      )
      const total = async (by: number) => {
        const tensor = options.weights.get(name)!
        const values = Float32Array.from(tensor.values as Float32Array)
        values[at]! += by
        const weights = new Map(options.weights).set(name, { ...tensor, values })
        return (await train({ weights }, 1)).totals[0]!
      }
      const difference = ((await total(3e-4)) - (await total(-3e-4))) / 6e-4
      t.ok(
        Math.abs(difference / gradient[at]! - 1) < 0.03,
        `${name}: ${gradient[at]}, ${difference}`,
      )
    }
  })

  t.test('steps leave no tensors behind, nor does a closed trainer', async t => {
    const before = tf.memory().numTensors
    const trainer = openTrainer({ ...options, watched: ['heads.fec.weight'] })
    await trainer.step(batch, 0.01)
    const during = tf.memory().numTensors
    await trainer.step(batch, 0.01)
    t.equal(tf.memory().numTensors, during)
    trainer.close()
    t.equal(tf.memory().numTensors, before)
  })

  if (engine === 'compiled')
    t.test('recomputation changes no more than rounding', async t => {
      const [kept, again] = [await train({}, 3), await train({ recompute: true }, 3)]
      kept.totals.forEach((total, i) =>
        t.ok(
          Math.abs(again.totals[i]! / total - 1) < 1e-4,
          `step ${i + 1}: ${again.totals[i]}, ${total}`,
        ),
      )
    })

  t.test('evaluation by the weights of the moment, any number of rows', async t => {
    const trainer = openTrainer(options)
    await trainer.step(batch, 0.02)
    const found = await trainer.evaluate(batch.images.subarray(0, 5 * SIZE * SIZE * 3), SIZE)
    const many = new Float32Array(2 * batch.images.length)
    many.set(batch.images)
    many.set(batch.images, batch.images.length)
    const twice = await trainer.evaluate(many, SIZE)
    const { weights } = await trainer.read()
    trainer.close()
    const images = tf.tensor4d(batch.images, [ROWS, SIZE, SIZE, 3])
    const { outputs } = forward(network, images, loadParameters(network, weights))
    for (const [name, tensor] of Object.entries(outputs)) {
      const wanted = tensor.dataSync()
      const width = wanted.length / ROWS
      t.equal(found[name]!.length, 5 * width)
      t.equal(twice[name]!.length, 24 * width)
      const off = (values: Float32Array, shift: number) =>
        Math.max(...values.map((v, i) => Math.abs(v - wanted[(i + shift) % wanted.length]!)))
      t.ok(off(found[name]!, 0) < 1e-5, `${name}: five rows`)
      t.ok(off(twice[name]!, 0) < 1e-5, `${name}: twice the rows`)
    }
  })

  t.test('a head that no loss reads stays as it was', async t => {
    const { weights } = await train({ losses: losses.slice(0, 2) }, 2)
    t.strictSame(weights.get('heads.distill.weight'), options.weights.get('heads.distill.weight'))
    t.notSame(weights.get('heads.affectnet.weight'), options.weights.get('heads.affectnet.weight'))
  })

  t.test('what does not fit is named', async t => {
    const run = async (changes: Partial<TrainerOptions>, other: Partial<TrainingBatch>) => {
      const trainer = openTrainer({ ...options, ...changes })
      try {
        return await trainer.step({ ...batch, ...other }, 0.1)
      } finally {
        trainer.close()
      }
    }
    await t.rejects(run({}, { labels: [0, 0, 0, 0, 0, 0, 0] }), {
      name: 'ShapeError',
      message: 'training step: 12 images, expected at least 13 for 2 triplets and 7 labels',
    })
    await t.rejects(run({}, { images: new Float32Array(100) }), {
      name: 'ShapeError',
      message: 'student: 100 image values are not whole images of 32 x 32 x 3',
    })
    await t.rejects(run({ losses: [tripletLoss({ head: 'faces', weight: 1 })] }, {}), {
      name: 'UsageError',
      message: /^triplet: student has no output faces, it has embedding, fec, affectnet, distill;/,
    })
    await t.rejects(run({ velocity: new Map() }, {}), {
      name: 'ShapeError',
      message:
        /^student: the momentum of backbone\.features\.conv0\.weight is missing, expected \[8,3,7,7\]/,
    })
  })
}

for (const [name, prefer, engine] of [
  ['portable, eager', 'portable', 'eager'],
  ['native, eager', 'native', 'eager'],
  ['native, compiled', 'native', 'compiled'],
] as const)
  t.test(name, { skip: prefer === 'native' && (nativeMissing() ?? false) }, async t =>
    testEngine(t, await openBackend({ prefer }), engine),
  )
