// Wall time of the smoke chain, stage by stage, nothing from the cache: npm run bench -- chain
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { repositoryRoot } from '../faults.ts'
import { runNx } from '../nx.ts'
import { readSmokeChain } from '../smoke-chain.ts'
import type { Bench } from './bench.ts'

/** Runs every target of the smoke chain on its own, in order, its output removed before. */
async function runChain(): Promise<number> {
  const times: [string, number][] = []
  const chain = readSmokeChain(repositoryRoot)
  for (const { out } of chain) await rm(join(repositoryRoot, out), { recursive: true, force: true })
  for (const { id } of chain) {
    const words = ['run', `${id}:smoke`, '--skip-nx-cache', '--exclude-task-dependencies']
    const { status, wallMs } = await runNx(repositoryRoot, words)
    if (status !== 0) throw new Error(`${id} failed with status ${status}; its reason is above`)
    times.push([id, wallMs / 1000])
  }
  for (const [id, seconds] of times) console.error(`  ${id.padEnd(24)} ${seconds.toFixed(2)} s`)
  return times.reduce((sum, [, seconds]) => sum + seconds, 0)
}

/** The chain has no peer: nothing else runs all of it. */
export const openBench = (): Promise<Bench> =>
  Promise.resolve({
    name: 'chain',
    unit: 's',
    ours: { name: 'smoke chain', run: runChain },
    peer: undefined,
  })
