// tap: test/engines.test.ts covers src/compiled-trainer.ts, src/eager-trainer.ts, src/step.ts
import { uniforms } from '@deepfever/core'
import {
  crossEntropyLoss,
  divergenceLoss,
  regressionLoss,
  rkdAngleLoss,
  rkdDistanceLoss,
  tripletLoss,
} from '@deepfever/losses'
import { STUDENT, TEACHER, formulaWeights, studentNetwork, teacherNetwork } from '@deepfever/models'
import type { Backbone, Network } from '@deepfever/models'
import { nativeMissing, openBackend } from '@deepfever/runtime'
import t from 'tap'

import type { TrainingBatch } from '../src/batch-feeds.ts'
import { openTrainer } from '../src/trainer.ts'

const SIZE = 64
const ROWS = 8
const heads = { fec: 8, affectnet: 4, distill: 12 }
const student = (backbone: Backbone, projection = STUDENT.projection): Network =>
  studentNetwork({ ...STUDENT, size: SIZE, embedding: 16, heads, backbone, projection })
const dense: Backbone = { kind: 'densenet', growth: 4, blocks: [2, 2], stem: 8, bottleneck: 2 }
const networks: Readonly<Record<string, Network>> = {
  densenet: student(dense),
  'densenet, linear projection': student(dense, 'linear'),
  resnet: student({ kind: 'resnet', blocks: [1, 1, 1, 1], stem: 4 }),
  mobilenet: student({ kind: 'mobilenet', width: 0.25 }),
  teacher: teacherNetwork({
    ...TEACHER,
    size: 80,
    embedding: 16,
    trunk: { ...TEACHER.trunk, width: 0.125 },
    neck: { reduce: 16, layers: 2, growth: 8, bottleneck: 2 },
    heads,
  }),
}
const on = (weight: number) => ({ head: 'distill', weight })
const sums = {
  relational: [rkdDistanceLoss(on(25)), rkdAngleLoss(on(50))],
  regression: [regressionLoss({ ...on(1), kind: 'smooth-l1' })],
  divergence: [divergenceLoss({ ...on(1), temperature: 2, blocks: [6, 6] })],
}
const floats = (name: string, count: number) => Float32Array.from(uniforms(name, count))

t.test('every network and every loss, the same on three engines', async t => {
  const skip = nativeMissing() ?? false
  for (const [name, network] of Object.entries(networks)) {
    const size = network.input[1]!
    const batch: TrainingBatch = {
      images: floats('images', ROWS * size * size * 3),
      size,
      odd: [2],
      margin: [0.1],
      labels: [3, 0, 1],
      targets: floats('targets', ROWS * 12),
    }
    // One network is enough to see every loss.
    for (const [kind, extra] of Object.entries(sums).slice(0, name === 'densenet' ? 3 : 1))
      await t.test(`${name}, ${kind}`, { skip }, async t => {
        const train = async (prefer: 'portable' | 'native', engine: 'eager' | 'compiled') => {
          const backend = await openBackend({ prefer })
          const losses = [
            tripletLoss({ head: 'fec', weight: 1 }),
            crossEntropyLoss({ head: 'affectnet', weight: 0.1 }),
            ...extra,
          ]
          const weights = formulaWeights(network, 'engines.')
          const trainer = openTrainer({ backend, engine, network, losses, momentum: 0.9, weights })
          const totals = [await trainer.step(batch, 0.002), await trainer.step(batch, 0.002)]
          trainer.close()
          return totals.map(({ total }) => total)
        }
        const wanted = await train('portable', 'eager')
        for (const engine of ['eager', 'compiled'] as const) {
          const found = await train('native', engine)
          found.forEach((total, i) => {
            // Fifty batch norms over 32 values make 5e-5 of a change of 1e-7 in the images.
            const off = Math.abs(total / wanted[i]! - 1)
            t.ok(off < (i === 0 ? 1e-3 : 5e-2), `${engine}, step ${i + 1}: ${total}, ${wanted[i]}`)
          })
        }
      })
  }
})
