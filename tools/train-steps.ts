// Takes training steps on drawn batches and says what became of the weights and of memory:
// node --import tsx tools/train-steps.ts [--network=tiny|student|teacher] [--size=64] [--steps=50]
//   [--backend=native|portable] [--recompute=true]
// One JSON line a tenth of the way, then one with the digest of all weights and momentum.
import { createHash } from 'node:crypto'
import { parseArgs } from 'node:util'

import { uniforms } from '@deepfever/core'
import { crossEntropyLoss, rkdAngleLoss, rkdDistanceLoss, tripletLoss } from '@deepfever/losses'
import { STUDENT, TEACHER, formulaWeights, studentNetwork, teacherNetwork } from '@deepfever/models'
import { openBackend, tf } from '@deepfever/runtime'
import type { TrainingBatch } from '../packages/train/src/batch-feeds.ts'
import { openTrainer } from '../packages/train/src/trainer.ts'

const text = { type: 'string' } as const
const { values: words } = parseArgs({
  options: { network: text, size: text, steps: text, backend: text, recompute: text },
})
const { network: kind = 'tiny', backend: prefer = 'native', recompute } = words
const size = Number(words.size ?? 64)
const steps = Number(words.steps ?? 50)

const ROWS = 8
const backbone = { kind: 'densenet', growth: 4, blocks: [2, 2], stem: 8, bottleneck: 2 } as const
const network =
  kind === 'teacher'
    ? teacherNetwork({ ...TEACHER, size })
    : studentNetwork({ ...STUDENT, size, ...(kind === 'tiny' && { backbone }) })
const distilled = [
  rkdDistanceLoss({ head: 'distill', weight: 25 }),
  rkdAngleLoss({ head: 'distill', weight: 50 }),
]
const backend = await openBackend({ prefer: prefer as 'native' | 'portable' })
const trainer = openTrainer({
  backend,
  network,
  recompute: recompute === 'true',
  losses: [
    tripletLoss({ head: 'fec', weight: 1 }),
    crossEntropyLoss({ head: 'affectnet', weight: 0.1 }),
    ...(kind === 'teacher' ? [] : distilled),
  ],
  momentum: 0.9,
  weights: formulaWeights(network, `${network.name}.`),
})
const floats = (name: string, count: number) => Float32Array.from(uniforms(name, count))
const batchAt = (step: number): TrainingBatch => ({
  images: floats(`images ${step % 16}`, ROWS * size * size * 3),
  size,
  odd: [step % 3, 1],
  margin: [0.1, 0.2],
  labels: [step % 8],
  targets: floats(`targets ${step % 16}`, ROWS * 80),
})
const rate = 0.005
for (let step = 1; step <= steps; step++) {
  const { total } = await trainer.step(batchAt(step), rate)
  if (step % Math.ceil(steps / 10) !== 0) continue
  const tensors = backend.kernels?.binding.getNumOfTensors() ?? tf.memory().numTensors
  const rssMiB = Math.round(process.memoryUsage.rss() / 2 ** 20)
  console.log(JSON.stringify({ step, total, tensors, rssMiB }))
}
const state = await trainer.read()
trainer.close()
const hash = createHash('sha256')
for (const part of [state.weights, state.velocity])
  for (const [name, { values }] of part) {
    const { buffer, byteOffset, byteLength } = values as Float32Array
    hash.update(name).update(new Uint8Array(buffer, byteOffset, byteLength))
  }
console.log(JSON.stringify({ steps, backend: backend.describe(), digest: hash.digest('hex') }))
