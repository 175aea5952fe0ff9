import type { Network, Ops, Parameter } from '@deepfever/models'
import { describeNetwork, formulaWeights } from '@deepfever/models'
import { tripletLoss } from '@deepfever/losses'
import { openBackend, tf } from '@deepfever/runtime'
import { openTrainer } from '../../packages/train/src/trainer.ts'
await openBackend()
const rows = 15, size = 140
const network: Network = { name: 'stem', input: [3, size, size], normalisation: { mean: [0, 0, 0], std: [1, 1, 1] }, outputs: ['fec'], starts: {} as never,
  build<T>(ops: Ops<T>, image: T) {
    const b = (name: string, x: T, out: number, kernel: number, stride = 1, padding = 0) => ops.relu(ops.batchNorm(`${name}.bn`, ops.conv2d(`${name}.conv`, x, { out, kernel, stride, padding }), { eps: 1e-3 }))
    let x = b('1a', image, 8, 3, 2); x = b('2a', x, 8, 3); x = b('2b', x, 16, 3, 1, 1); x = ops.maxPool(x, { kernel: 3, stride: 2 }); x = b('3b', x, 20, 1); x = b('4a', x, 48, 3); x = b('4b', x, 64, 3, 2)
    return { fec: ops.dense('fec', ops.globalAveragePool(x), { out: 32 }) } as Record<string, T>
  } }
const trainer = openTrainer({ network, losses: [tripletLoss({ head: 'fec', weight: 1 })], momentum: 0.9, weights: formulaWeights(network, 's.') })
const batch = { images: new Float32Array(rows * size * size * 3).map((_, i) => Math.sin(i)), size, odd: [0, 1, 2, 0, 1], margin: [.5, .5, .5, .5, .5], labels: [] }
let best = 1e9
for (let i = 0; i < 5; i++) { const t = performance.now(); await trainer.step(batch, 0.01); best = Math.min(best, performance.now() - t) }
console.log('images/s', (rows / best * 1000).toFixed(1), tf.memory().numTensors)
if (process.argv[2]) {
const p = await tf.profile(async () => { await trainer.step(batch, 0.01); return [] as never })
const by = new Map<string, [number, number]>()
for (const k of p.kernels) { const ms = Number(k.kernelTimeMs); const e = by.get(k.name) ?? [0, 0]; by.set(k.name, [e[0] + (Number.isNaN(ms) ? 0 : ms), e[1] + 1]) }
console.log([...by].sort((a, b) => b[1][0] - a[1][0]).slice(0, 16).map(([n, [ms, c]]) => `${n} ${ms.toFixed(0)} (${c})`).join('  ')) }
