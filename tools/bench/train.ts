// A whole training step against PyTorch eager, two threads each, 140 px, all losses, no dropout:
// npm run bench -- train --network=student|teacher --batch=8|32|140
//   [--layout=both|contiguous|channels_last|none] [--engine=compiled|eager] [--recompute=true]
// With both layouts a round's measure of the peer is that of the faster one.
import { fileURLToPath } from 'node:url'

import { seedOf, uniforms, wordAt } from '@deepfever/core'
import { crossEntropyLoss, rkdAngleLoss, rkdDistanceLoss, tripletLoss } from '@deepfever/losses'
import { formulaWeights, studentNetwork, teacherNetwork } from '@deepfever/models'
import type { Network } from '@deepfever/models'
import { openBackend } from '@deepfever/runtime'
import type { TrainingBatch } from '../../packages/train/src/batch-feeds.ts'
import { openTrainer, type TrainerOptions } from '../../packages/train/src/trainer.ts'
import type { Bench, BenchWords, Side } from './bench.ts'
import { openPeer, openPython, type Peer } from './peer.ts'

const THREADS = 2
const SIZE = 140
const RATE = 0.005
/** The paper's proportions: triplets and labelled faces; the rest has neither. */
const STUDENT_ROWS: Readonly<Record<string, readonly [number, number]>> = {
  8: [2, 1],
  32: [8, 4],
  140: [36, 16],
}
const peakMiB = () => Math.round(process.resourceUsage().maxRSS / 1024)

/** Opens both sides on the same images and weights. */
export async function openBench(words: BenchWords, peers: string): Promise<Bench> {
  const { network: kind = 'student', batch = '8', layout = 'both', engine = 'compiled' } = words
  const recompute = words.recompute === 'true'
  const student = kind === 'student'
  const rows = Number(batch)
  const quarter = Math.floor(rows / 4)
  const [triplets, labelled] = (student && STUDENT_ROWS[batch]) || [quarter, rows - 3 * quarter]
  const network = student ? studentNetwork() : teacherNetwork()
  const trainer = openTrainer({
    backend: await openBackend({ prefer: 'native' }),
    engine: engine as NonNullable<TrainerOptions['engine']>,
    recompute,
    network,
    losses: [
      tripletLoss({ head: 'fec', weight: 1 }),
      crossEntropyLoss({ head: 'affectnet', weight: 0.1 }),
      ...(student
        ? [
            rkdDistanceLoss({ head: 'distill', weight: 25 }),
            rkdAngleLoss({ head: 'distill', weight: 50 }),
          ]
        : []),
    ],
    momentum: 0.9,
    weights: formulaWeights(network, `${kind}.`),
  })
  const input = drawBatch(network, rows, triplets, labelled)
  const opened = performance.now()
  const { total } = await trainer.step(input, RATE)
  console.error(
    `opened in ${((performance.now() - opened) / 1000).toFixed(1)} s, the first step included`,
  )
  const ours: Side = {
    name: `deepfever ${engine}`,
    async run() {
      const start = performance.now()
      await trainer.step(input, RATE)
      return (1000 * rows) / (performance.now() - start)
    },
    close() {
      trainer.close()
      console.error(`deepfever ${engine}: peak ${peakMiB()} MiB`)
      return Promise.resolve()
    },
  }
  await ours.run()
  const name = `train ${kind} ${batch}${recompute ? ' recompute' : ''}`
  if (layout === 'none') return { name, unit: 'images/s', ours, peer: undefined }
  const layouts = layout === 'both' ? ['contiguous', 'channels_last'] : [layout]
  const python = await openPython(peers, 'torch', ['torch==2.13.0', 'numpy==2.4.6'])
  const script = fileURLToPath(new URL('peers/training.py', import.meta.url))
  const sides: Peer[] = []
  for (const format of layouts) {
    const given = [script, kind, batch, `${triplets}`, `${labelled}`, `${THREADS}`, format]
    const side = openPeer(`pytorch 2.13.0 ${format}`, python, given)
    const wanted = Number(await side.hello())
    if (!(Math.abs(total - wanted) <= 1e-3 * Math.abs(wanted)))
      throw new Error(`first loss: found ${total}, wanted PyTorch's ${wanted}`)
    await side.run()
    sides.push(side)
  }
  return { name, unit: 'images/s', ours, peer: fastest(sides) }
}

/** Several peers in turn; a round's measure is the fastest's. */
const fastest = (sides: readonly Peer[]): Side => ({
  name: sides.map(({ name }) => name).join(', '),
  async run() {
    const measures: number[] = []
    for (const side of sides) measures.push(await side.run())
    console.error(sides.map(({ name }, i) => `  ${name} ${measures[i]!.toFixed(2)}`).join('\n'))
    return Math.max(...measures)
  },
  async close() {
    for (const side of sides) await side.close?.()
  },
})

/** The images, labels and targets that the peer draws from the same names. */
function drawBatch(
  { normalisation: { mean, std } }: Network,
  rows: number,
  triplets: number,
  labelled: number,
): TrainingBatch {
  const seed = seedOf('bench')
  const images = Float32Array.from(
    { length: rows * SIZE * SIZE * 3 },
    (_, i) => ((wordAt(seed, i) & 255) - mean[i % 3]!) / std[i % 3]!,
  )
  return {
    images,
    size: SIZE,
    odd: Array.from({ length: triplets }, (_, i) => i % 3),
    margin: new Array<number>(triplets).fill(0.2),
    labels: Array.from({ length: labelled }, (_, i) => i % 8),
    targets: Float32Array.from(uniforms('bench-targets', rows * 80)),
  }
}
