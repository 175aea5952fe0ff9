import { execFileSync } from 'node:child_process'
import { join } from 'node:path'

import { nativeMissing } from '@deepfever/runtime'
import t from 'tap'

import { repositoryRoot } from '../tools/faults.ts'

/** The last line of fifty steps in a process of their own. */
function digestOf(...words: string[]): string {
  const script = join(repositoryRoot, 'tools', 'train-steps.ts')
  const said = execFileSync(process.execPath, ['--import', 'tsx', script, ...words], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
  })
  return said.trim().split('\n').at(-1)!
}

const skip = nativeMissing() ?? false

t.test('fifty compiled steps give the same bytes in another process', { skip }, async t => {
  const first = digestOf('--backend=native')
  t.match(first, /"digest":"[0-9a-f]{64}"/)
  t.equal(digestOf('--backend=native'), first)
})
