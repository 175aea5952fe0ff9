// Multiplies two matrices on the addon named on the command line; prints one line of JSON.
import { register } from 'tsx/esm/api'

register()
const { loadAddon } = await import('./addon.ts')
loadAddon(process.argv[2])
const { tf } = await import('../tensorflow.ts')
const { binding } = tf.backend()
const size = 64
const values = Float32Array.from({ length: size * size }, (_, i) => Math.sin(i))
const found = await tf
  .matMul(tf.tensor2d(values, [size, size]), tf.tensor2d(values, [size, size]))
  .data()
let error = 0
for (let i = 0; i < size; i++)
  for (let j = 0; j < size; j++) {
    let sum = 0
    for (let k = 0; k < size; k++) sum += values[i * size + k] * values[k * size + j]
    error = Math.max(error, Math.abs(sum - found[i * size + j]))
  }
const report = { tensorflow: binding.TF_Version, gpu: binding.isUsingGpuDevice(), error }
process.stdout.write(`${JSON.stringify(report)}\n`)
