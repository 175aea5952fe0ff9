// Repeats tests to find the ones that fail now and then: npm run soak -- [--minutes=10] [FILE …]
// Drawn properties take a new seed each round; a failure prints its own. A round has 20 kills and
// 1,000 damages of each format, unless DEEPFEVER_KILLS and DEEPFEVER_DAMAGES say otherwise.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { repositoryRoot } from './faults.ts'

const { values, positionals } = parseArgs({
  options: { minutes: { type: 'string', default: '10' } },
  allowPositionals: true,
})
const minutes = Number(values.minutes)
if (!(minutes > 0)) {
  console.error(`soak: --minutes: found ${values.minutes}, wanted a number above 0`)
  process.exit(2)
}
const tap = join(repositoryRoot, 'node_modules', '.bin', 'tap')
const end = performance.now() + minutes * 60_000
let round = 0
let failed = 0
do {
  round++
  const started = performance.now()
  const words = ['run', '--reporter=terse', ...positionals]
  const env = { DEEPFEVER_KILLS: '20', DEEPFEVER_DAMAGES: '1000', ...process.env }
  const child = spawn(tap, words, { cwd: repositoryRoot, env, stdio: 'inherit' })
  const [code] = (await once(child, 'close')) as [number | null]
  if (code !== 0) failed++
  const seconds = ((performance.now() - started) / 1000).toFixed(1)
  console.log(`soak: round ${round} ${code === 0 ? 'passed' : 'failed'} in ${seconds} s`)
} while (performance.now() < end)
console.log(`soak: ${round - failed} rounds passed, ${failed} failed`)
process.exitCode = failed > 0 ? 1 : 0
