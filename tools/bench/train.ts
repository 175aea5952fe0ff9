// A whole training step, 140 px, all losses, no dropout, two threads each:
// npm run bench -- train --network=student|teacher --batch=8|32|140
//   [--peer=pytorch|contiguous|channels_last|tfjs|none] [--recompute=true]
// `pytorch`: both memory layouts in turn, a round's measure is that of the faster; `tfjs`:
// TensorFlow.js on TensorFlow as they come, eager.
import { fileURLToPath } from 'node:url'

import { openBackend } from '@deepfever/runtime'
import { openTrainer } from '../../packages/train/src/trainer.ts'
import type { Bench, BenchWords, Side } from './bench.ts'
import { openPeer, openPython, type Peer } from './peer.ts'
import { RATE, drawTraining } from './training.ts'

const THREADS = 2
/** Steps before the measured ones: memory grows during the first. */
const WARM = 2
const LAYOUTS = ['contiguous', 'channels_last']

/** Opens both sides on the same images and weights. */
export async function openBench(words: BenchWords, peers: string): Promise<Bench> {
  const { network: kind = 'student', batch: rows = '8', peer: against = 'pytorch' } = words
  const recompute = words.recompute === 'true'
  const { options, triplets, labelled, batch } = drawTraining(kind, Number(rows))
  const backend = await openBackend({ prefer: 'native' })
  const trainer = openTrainer({ ...options, backend, recompute })
  const opened = performance.now()
  const { total } = await trainer.step(batch, RATE)
  const seconds = (performance.now() - opened) / 1000
  console.error(`the first step, with tracing and opening: ${seconds.toFixed(1)} s`)
  const ours: Side = {
    name: 'deepfever',
    async run() {
      const start = performance.now()
      await trainer.step(batch, RATE)
      return (1000 * Number(rows)) / (performance.now() - start)
    },
    close() {
      trainer.close()
      const peak = Math.round(process.resourceUsage().maxRSS / 1024)
      console.error(`deepfever: peak ${peak} MiB`)
      return Promise.resolve()
    },
  }
  for (let step = 0; step < WARM; step++) await ours.run()

  const sides: Peer[] = []
  const add = async (side: Peer) => {
    const wanted = Number(await side.hello())
    if (!(Math.abs(total - wanted) <= 1e-3 * Math.abs(wanted)))
      throw new Error(`first loss: found ${total}, wanted ${side.name}'s ${wanted}`)
    for (let step = 0; step < WARM; step++) await side.run()
    sides.push(side)
  }
  if (against === 'tfjs') {
    const script = fileURLToPath(new URL('peers/stock-tfjs.ts', import.meta.url))
    const given = ['--import', 'tsx', script, kind, rows]
    await add(openPeer('tfjs-node as it comes', process.execPath, given))
  } else if (against !== 'none') {
    const python = await openPython(peers, 'torch', ['torch==2.13.0', 'numpy==2.4.6'])
    const script = fileURLToPath(new URL('peers/training.py', import.meta.url))
    for (const layout of against === 'pytorch' ? LAYOUTS : [against]) {
      const given = [script, kind, rows, `${triplets}`, `${labelled}`, `${THREADS}`, layout]
      await add(openPeer(`pytorch 2.13.0 ${layout}`, python, given))
    }
  }
  return {
    name: `train ${kind} ${rows}${recompute ? ' recompute' : ''}`,
    unit: 'images/s',
    ours,
    peer: sides.length > 0 ? fastest(sides) : undefined,
  }
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
