// The student's embedding against PyTorch eager, two threads each, blocks of 32, from RGB pixels:
// npm run bench -- embed [--pictures=128]
import { mapOrdered } from '@deepfever/core'
import { formulaWeights, openNetworkExtractor, studentNetwork } from '@deepfever/models'
import type { Bench, BenchWords, Side } from './bench.ts'
import { BLOCK, blocksOf, drawPictures, openTorch, THREADS } from './inference.ts'

/** Opens both sides on the same pictures and weights. */
export async function openBench({ pictures = '128' }: BenchWords, peers: string): Promise<Bench> {
  const network = studentNetwork()
  const state = formulaWeights(network, 'student.')
  const embedder = openNetworkExtractor(network, state, {
    ...{ digest: '', terms: [], name: 'student', output: 'embedding', workers: THREADS },
  })
  const all = drawPictures(Number(pictures))
  const first = await embedder.embed(all.slice(0, BLOCK))
  const ours: Side = {
    name: 'deepfever',
    async run() {
      const start = performance.now()
      const blocks = mapOrdered(blocksOf(all), THREADS + 1, block => embedder.embed(block))
      for await (const vectors of blocks) if (vectors.length === 0) break
      return (1000 * all.length) / (performance.now() - start)
    },
    close: () => embedder.close(),
  }
  // warm: threads started, memory taken
  await ours.run()
  return {
    name: 'embed',
    unit: 'images/s',
    ours,
    peer: await openTorch(peers, 'embed', pictures, first),
  }
}
