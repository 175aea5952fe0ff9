import * as tf from '@tensorflow/tfjs-core'
import { setWasmPaths } from '@tensorflow/tfjs-backend-wasm'
import { createRequire } from 'node:module'
import { dirname } from 'node:path'
const require = createRequire(import.meta.url)
setWasmPaths(dirname(require.resolve('@tensorflow/tfjs-backend-wasm')) + '/')
const t0 = performance.now()
console.log(await tf.setBackend('wasm'), performance.now() - t0)
console.log(await tf.env().getAsync('WASM_HAS_SIMD_SUPPORT'), await tf.env().getAsync('WASM_HAS_MULTITHREAD_SUPPORT'))
function time(f: () => tf.Tensor, label: string, n = 3) {
  let best = 1e9
  for (let i = 0; i < n; i++) { const t = performance.now(); const r = f(); r.dataSync(); r.dispose(); best = Math.min(best, performance.now() - t) }
  console.log(label, best.toFixed(1))
}
const a = tf.randomNormal([4096, 256]), b = tf.randomNormal([4096, 128]), c = tf.randomNormal([256, 128])
time(() => tf.matMul(a, c), 'plain matmul 268MFLOP')
time(() => tf.matMul(a, b, true, false), 'transA matmul')
time(() => tf.tidy(() => tf.matMul(tf.transpose(a), b)), 'explicit transpose')
time(() => tf.matMul(b, c, false, true), 'transB matmul')
time(() => tf.tidy(() => tf.matMul(b, tf.transpose(c))), 'explicit transB')
const u = tf.randomNormal([140, 140, 80])
time(() => tf.matMul(u as tf.Tensor3D, u as tf.Tensor3D, false, true), 'batched 140x140x80 440MFLOP')
const ut = tf.transpose(u, [0, 2, 1]); const g = tf.randomNormal([140, 140, 140])
time(() => tf.matMul(u, ut), 'batched no transpose'); time(() => tf.matMul(g, u), 'batched grad')
const x = tf.randomNormal([16, 67, 67, 8]) as tf.Tensor4D
const w = tf.randomNormal([3, 3, 8, 16]) as tf.Tensor4D
time(() => tf.conv2d(x, w, 1, 'same'), 'conv 3x3 67 8->16')
time(() => tf.transpose(x, [3, 1, 2, 0]), 'transpose x 574k')
time(() => tf.relu(x), 'relu'); time(() => tf.sum(x, [0, 1, 2]), 'sum 012'); time(() => tf.sum(tf.reshape(x, [-1, 8]), 0), 'sum 0'); time(() => tf.mul(x, tf.ones([8])), 'mul bcast'); time(() => tf.mul(x, x), 'mul')
time(() => tf.add(x, tf.zeros([8])), 'add bcast'); time(() => tf.step(x), 'step'); time(() => tf.square(x), 'sq'); time(() => tf.moments(x, [0, 1, 2]).variance, 'moments')
const ones = tf.ones([1, 16 * 67 * 67]) as tf.Tensor2D
time(() => tf.matMul(ones, tf.reshape(x, [-1, 8])), 'sum by matmul')
time(() => tf.batchNorm(x, tf.zeros([8]), tf.ones([8]), tf.zeros([8]), tf.ones([8]), 1e-3), 'fused bn')
