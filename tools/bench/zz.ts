import { openBackend, tf } from '@deepfever/runtime'
await openBackend()
function time(f: () => tf.Tensor, label: string, n = 7) {
  let best = 1e9
  for (let i = 0; i < n; i++) { const t = process.cpuUsage(); const r = f(); r.dataSync(); r.dispose(); const d = process.cpuUsage(t); best = Math.min(best, (d.user + d.system) / 1000) }
  console.log(label, best.toFixed(2))
}
const stock = (x: tf.Tensor) => tf.sum(tf.reshape(x, [-1, x.shape.at(-1)!]), 0)
for (const s of [[16, 67, 67, 8], [16, 67, 67, 64], [16, 33, 33, 48], [8, 7, 7, 896], [8, 16, 16, 128]]) {
  const x = tf.randomNormal(s), c = s.at(-1)!, N = x.size / c
  console.log(s)
  time(() => tf.sum(x, [0, 1, 2]), '  two-level'); time(() => stock(x), '  stock sum 0 after reshape')
  time(() => tf.tidy(() => tf.matMul(tf.ones([1, N]), tf.reshape(x, [N, c]))), '  one matmul')
  time(() => tf.tidy(() => { const k = s[1]! * s[0]!; return tf.sum(tf.reshape(tf.sum(tf.reshape(x, [k, s[2]! * c]), 0), [s[2]!, c]), 0) }), '  two stock')
  time(() => tf.tidy(() => { const flat = tf.reshape(x, [N, c]); return tf.matMul(tf.transpose(flat), tf.ones([N, 1])) }), '  transpose matmul')
}
