import * as tf from '@tensorflow/tfjs-core'
import { setWasmPaths } from '@tensorflow/tfjs-backend-wasm'
import { createRequire } from 'node:module'
import { dirname } from 'node:path'
const require = createRequire(import.meta.url)
setWasmPaths(dirname(require.resolve('@tensorflow/tfjs-backend-wasm')) + '/')
await tf.setBackend('wasm')
type T4 = tf.Tensor4D
const filterConv = (x: T4, dy: T4, k: number, s: number) => tf.tidy(() => {
  const full = tf.conv2d(tf.transpose(x, [3, 1, 2, 0]), tf.transpose(dy, [1, 2, 0, 3]) as T4, 1, 'valid', 'NHWC', s)
  return tf.transpose(tf.slice(full, [0, 0, 0, 0], [x.shape[3], k, k, dy.shape[3]]), [1, 2, 0, 3])
})
const filterTaps = (x: T4, dy: T4, k: number, s: number) => tf.tidy(() => {
  const [n, oh, ow, co] = dy.shape, ci = x.shape[3]
  const d = tf.reshape(dy, [-1, co]); const taps: tf.Tensor[] = []
  for (let i = 0; i < k; i++) for (let j = 0; j < k; j++) {
    const p = s === 1 ? tf.slice(x, [0, i, j, 0], [n, oh, ow, ci]) : tf.stridedSlice(x, [0, i, j, 0], [n, i + (oh - 1) * s + 1, j + (ow - 1) * s + 1, ci], [1, s, s, 1])
    taps.push(tf.matMul(tf.transpose(tf.reshape(p, [-1, ci])), d))
  }
  return tf.reshape(tf.stack(taps), [k, k, ci, co])
})
const filterCols = (x: T4, dy: T4, k: number, s: number) => tf.tidy(() => {
  const [n, oh, ow, co] = dy.shape, ci = x.shape[3]
  const d = tf.reshape(dy, [-1, co]); const taps: tf.Tensor[] = []
  for (let i = 0; i < k; i++) for (let j = 0; j < k; j++)
    taps.push(tf.transpose(tf.reshape(s === 1 ? tf.slice(x, [0, i, j, 0], [n, oh, ow, ci]) : tf.stridedSlice(x, [0, i, j, 0], [n, i + (oh - 1) * s + 1, j + (ow - 1) * s + 1, ci], [1, s, s, 1]), [-1, ci])))
  return tf.reshape(tf.matMul(tf.concat(taps, 0) as tf.Tensor2D, d), [k, k, ci, co])
})
const dilate = (dy: T4, s: number) => { const [n, h, w, c] = dy.shape; if (s === 1) return dy
  const a = tf.reshape(tf.pad(tf.reshape(dy, [n * h, 1, w, c]), [[0, 0], [0, s - 1], [0, 0], [0, 0]]), [n * h * s * w, 1, c])
  const b = tf.reshape(tf.pad(a, [[0, 0], [0, s - 1], [0, 0]]), [n, h * s, w * s, c]) as T4
  return tf.slice(b, [0, 0, 0, 0], [n, (h - 1) * s + 1, (w - 1) * s + 1, c]) }
const inputConv = (dy: T4, w: T4, H: number, s: number, p: number) => tf.tidy(() => {
  const k = w.shape[0], d = dilate(dy, s), [, h] = d.shape, lead = k - 1 - p, tail = H + k - 1 - lead - h
  const flipped = tf.transpose(tf.reverse(w, [0, 1]), [0, 1, 3, 2]) as T4
  return tf.conv2d(tf.pad(d, [[0, 0], [lead, tail], [lead, tail], [0, 0]]) as T4, flipped, 1, 'valid')
})
const inputPhases = (dy: T4, w: T4, H: number, s: number, p: number) => tf.tidy(() => {
  const k = w.shape[0], [n, oh, ow, co] = dy.shape, ci = w.shape[2]
  const Q = Math.ceil((H + p) / s) // padded coordinate u = q*s+a
  const wt = tf.transpose(w, [0, 1, 3, 2]) as T4
  const rows: tf.Tensor[] = []
  for (let a = 0; a < s; a++) { const cols: tf.Tensor[] = []
    for (let b = 0; b < s; b++) {
      const ka = Math.ceil((k - a) / s), kb = Math.ceil((k - b) / s)
      if (ka < 1 || kb < 1) { cols.push(tf.zeros([n, Q, 1, Q, 1, ci])); continue }
      const sub = tf.reverse(tf.stridedSlice(wt, [a, b, 0, 0], [k, k, co, ci], [s, s, 1, 1]), [0, 1]) as T4
      const r = tf.conv2d(tf.pad(dy, [[0, 0], [ka - 1, Q - oh], [kb - 1, Q - ow], [0, 0]]) as T4, sub, 1, 'valid')
      cols.push(tf.reshape(r, [n, Q, Q, 1, ci]))
    }
    rows.push(tf.reshape(tf.concat(cols, 3), [n, Q, 1, Q * s, ci])) }
  const all = tf.reshape(tf.concat(rows, 2), [n, Q * s, Q * s, ci])
  return tf.slice(all, [0, p, p, 0], [n, H, H, ci])
})
function time(f: () => tf.Tensor, n = 3) { let best = 1e9
  for (let i = 0; i < n; i++) { const t = performance.now(); const r = f(); r.dataSync(); r.dispose(); best = Math.min(best, performance.now() - t) } return best.toFixed(1) }
const diff = (a: tf.Tensor, b: tf.Tensor) => (tf.max(tf.abs(tf.sub(a, b))).dataSync()[0]! / tf.max(tf.abs(b)).dataSync()[0]!).toExponential(1)
for (const [label, n, H, ci, co, k, s, p] of [
  ['1a', 16, 140, 3, 8, 3, 2, 0], ['2a', 16, 69, 8, 8, 3, 1, 0], ['2b', 16, 67, 8, 16, 3, 1, 1], ['3b', 16, 33, 16, 20, 1, 1, 0], ['4a', 16, 33, 20, 48, 3, 1, 0], ['4b', 16, 31, 48, 64, 3, 2, 0],
  ['full4a', 8, 33, 80, 192, 3, 1, 0], ['full4b', 8, 31, 192, 256, 3, 2, 0], ['dense1', 8, 16, 128, 32, 3, 1, 1], ['dense1x1', 8, 16, 256, 128, 1, 1, 0], ['conv0 7x7', 8, 64, 3, 64, 7, 2, 3], ['7x7 late', 8, 7, 256, 64, 3, 1, 1], ['b17', 8, 7, 128, 128, 3, 1, 1], ['1x1 late', 8, 7, 896, 256, 1, 1, 0]] as const) {
  const x = tf.randomNormal([n, H, H, ci]) as T4, w = tf.randomNormal([k, k, ci, co]) as T4
  const px = tf.pad(x, [[0, 0], [p, p], [p, p], [0, 0]]) as T4
  const y = tf.conv2d(px, w, s, 'valid'); const dy = tf.randomNormal(y.shape) as T4
  const c = filterConv(px, dy, k, s)
  console.log(label, 'forward', time(() => tf.conv2d(px, w, s, 'valid')), '| filter conv', time(() => filterConv(px, dy, k, s)), 'taps', time(() => filterTaps(px, dy, k, s)), 'cols', time(() => filterCols(px, dy, k, s)), diff(filterTaps(px, dy, k, s), c), diff(filterCols(px, dy, k, s), c),
   '| input stock', time(() => tf.conv2dTranspose(dy as T4, w, [n, H + 2 * p, H + 2 * p, ci], s, 'valid'), 1), 'conv', time(() => inputConv(dy, w, H, s, p)), 'phases', time(() => inputPhases(dy, w, H, s, p)), diff(inputPhases(dy, w, H, s, p), inputConv(dy, w, H, s, p)),
   k === 1 ? 'matmul ' + time(() => tf.tidy(() => tf.matMul(tf.reshape(dy, [-1, co]), tf.transpose(tf.reshape(w, [ci, co]))))) : '')
}
