// A peer of the bench `train`: TensorFlow.js on TensorFlow with its own operations and gradients,
// one by one; the update, too, is this project's eager one.
// usage: stock-tfjs.ts student|teacher BATCH
import { createInterface } from 'node:readline'

import type { TfjsKernels } from '@deepfever/models/tfjs'
import { openBackend, tf } from '@deepfever/runtime'
import { openEagerTrainer } from '../../../packages/train/src/eager-trainer.ts'
import { RATE, drawTraining } from '../training.ts'

/** Batch norm as TensorFlow.js offers it, differentiated by TensorFlow.js. */
const batchNorm: TfjsKernels['batchNorm'] = (x, weight, bias, eps) => {
  const { mean, variance } = tf.moments(x, [0, 1, 2]) as Record<'mean' | 'variance', tf.Tensor1D>
  const y = tf.batchNorm(x, mean, variance, bias, weight, eps)
  const count = x.size / weight.size
  return { y, mean, variance: tf.mul(variance, count / (count - 1)) }
}

const [kind = 'student', rows = '8'] = process.argv.slice(2)
const { options, batch } = drawTraining(kind, Number(rows))
const backend = await openBackend({ prefer: 'native' })
const trainer = openEagerTrainer({ ...options, backend, kernels: { batchNorm } })
console.log((await trainer.step(batch, RATE)).total)
for await (const _ of createInterface({ input: process.stdin })) {
  const start = performance.now()
  await trainer.step(batch, RATE)
  console.log((1000 * Number(rows)) / (performance.now() - start))
}
trainer.close()
