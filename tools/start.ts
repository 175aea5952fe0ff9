// Runs the whole chain on drawn data: npm start [-- --expect-cached]
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { repositoryRoot } from './faults.ts'
import { runNx } from './nx.ts'
import { readSmokeChain, type Step } from './smoke-chain.ts'

/** The file in a step's folder that a person opens. */
function pageOf(step: Step): string {
  const pages = ['index.html', 'gallery.html', 'report.html', 'report.md', 'report.json']
  const page = pages.find(name => existsSync(join(repositoryRoot, step.out, name)))
  return page === undefined ? step.out : `${step.out}/${page}`
}

/** Runs `steps` and what they depend on; ends the process when one fails. */
async function runSteps(steps: readonly Step[], expectCached: boolean): Promise<void> {
  const names = (part: 0 | 1) => [...new Set(steps.map(step => step.id.split(':')[part]))].join(',')
  const words = ['run-many', '-t', names(1), '-p', names(0), '-c', 'smoke']
  const { status, hits } = await runNx(repositoryRoot, [...words, '--output-style=stream'])
  if (status !== 0) {
    console.error(`start: ${steps.map(step => step.id).join(', ')} failed; the reason is above`)
    process.exit(1)
  }
  if (expectCached && (hits === undefined || hits.cached !== hits.tasks)) {
    const found = hits === undefined ? 'no task' : `${hits.cached} of ${hits.tasks} tasks`
    console.error(`start: ${found} came from the cache, wanted all`)
    process.exit(1)
  }
  for (const step of steps) console.log(`${step.id}: ${pageOf(step)}`)
}

const words = process.argv.slice(2)
const unknown = words.find(word => word !== '--expect-cached')
if (unknown !== undefined) {
  console.error(`start: unknown option ${unknown}; known: --expect-cached`)
  process.exit(2)
}
const chain = readSmokeChain(repositoryRoot)
const gallery = chain.filter(step => step.id === 'detect:gallery')
// Those with a dash belong to the ablation: nx run train:table-smoke.
const evals = chain.filter(step => /^eval:\w+$/.test(step.id))
for (const steps of [gallery, evals]) {
  if (steps.length > 0) await runSteps(steps, words.includes('--expect-cached'))
}
console.log('smoke: drawn data at tiny width; proves the chain only')
