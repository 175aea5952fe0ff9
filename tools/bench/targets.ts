// Both teachers, both views, joined and normalised, against PyTorch eager, two threads each, blocks
// of 32, from RGB pixels: npm run bench -- targets [--pictures=64]
import { mapOrdered } from '@deepfever/core'
import { formulaWeights, TEACHER, toNetwork } from '@deepfever/models'
import { openTeachers, type Views } from '../../packages/targets/src/teachers.ts'
import type { Bench, BenchWords, Side } from './bench.ts'
import { BLOCK, blocksOf, drawPictures, openTorch, THREADS } from './inference.ts'

const join = ({ plain, flipped }: Views) =>
  Float32Array.from([...plain, ...flipped].flatMap(row => [...row]))

/** Opens both sides on the same pictures and weights. */
export async function openBench({ pictures = '64' }: BenchWords, peers: string): Promise<Bench> {
  const pair = [256, 128].map(embedding => {
    const specification = { kind: 'teacher', ...TEACHER, embedding } as const
    const network = toNetwork(specification)
    const state = formulaWeights(network, `teacher${embedding}.`)
    return { path: '', digest: `${embedding}`, terms: [], specification, network, state }
  })
  const teachers = openTeachers(pair, THREADS)
  const all = drawPictures(Number(pictures))
  const first = join(await teachers.predict(() => Promise.resolve(all.slice(0, BLOCK))))
  const ours: Side = {
    name: 'deepfever',
    async run() {
      const start = performance.now()
      const blocks = mapOrdered(blocksOf(all), THREADS, block =>
        teachers.predict(() => Promise.resolve(block)),
      )
      for await (const { plain } of blocks) if (plain.length === 0) break
      return (1000 * all.length) / (performance.now() - start)
    },
    close: () => teachers.close(),
  }
  // warm: threads started, memory taken
  await ours.run()
  return {
    name: 'targets',
    unit: 'images/s',
    ours,
    peer: await openTorch(peers, 'targets', pictures, first),
  }
}
