// Holds this code against reference numbers: npm run verify -- NAME REFERENCE [options]
import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { parseArgs } from 'node:util'
import { UsageError, messageOf } from '@deepfever/core'
import { judgeRows } from './judge.ts'
import type { VerifyOptions, VerifyRows } from './row.ts'

/** A verification reads the reference at a path: a JSON file or a folder. */
type Verify = (reference: string, options: VerifyOptions) => Promise<VerifyRows>

function engineOf({ engine = 'tfjs' }: VerifyOptions): 'tfjs' | 'onnx' {
  if (engine === 'tfjs' || engine === 'onnx') return engine
  throw new UsageError(`--engine: found ${engine}, wanted tfjs or onnx`, { found: engine })
}

// Each is loaded only when it is asked for: a network takes seconds to load.
const verifications: Readonly<Record<string, Verify>> = {
  models: async (reference, options) =>
    (await import('./models.ts')).verifyModels(reference, {
      ...options,
      engine: engineOf(options),
    }),
  training: async (reference, options) =>
    (await import('./training.ts')).verifyTraining(reference, options),
  mtcnn: async (reference, { data = join(dirname(reference), '..', 'data') }) =>
    (await import('./mtcnn.ts')).verifyMtcnn(reference, { data }),
  files: async reference => (await import('./files.ts')).verifyFiles(reference),
  logistic: async (reference, options) => {
    const { verifyLogistic } = await import('./logistic.ts')
    return verifyLogistic(JSON.parse(await readFile(reference, 'utf8')), options)
  },
}
const names = Object.keys(verifications)
const usage = `npm run verify -- ${names.join('|')} REFERENCE [--prefix=TEXT] [--engine=NAME] [--data=FOLDER] [--only=ENTRY,…]`

/** What to run, on which reference, from the words of the command line. */
function parseWords(words: string[]) {
  const text = { type: 'string' } as const
  const { values, positionals } = parseArgs({
    args: words,
    options: { prefix: text, engine: text, data: text, only: text },
    allowPositionals: true,
  })
  const [name = '', reference, extra] = positionals
  const verify = verifications[name]
  const hint = `usage: ${usage}`
  if (verify === undefined) {
    throw new UsageError(`found ${name || 'no name'}, wanted one of ${names.join(', ')}; ${hint}`)
  }
  if (reference === undefined) throw new UsageError(`the reference is missing; ${hint}`)
  if (extra !== undefined) throw new UsageError(`unexpected argument ${extra}; ${hint}`)
  if (!existsSync(reference)) throw new UsageError(`there is no reference at ${reference}`)
  return { verify, reference, options: values satisfies VerifyOptions }
}

/** parseArgs refuses unknown options with a TypeError. */
const isUsage = (thrown: unknown): boolean =>
  thrown instanceof UsageError ||
  (thrown instanceof TypeError && 'code' in thrown && String(thrown.code).startsWith('ERR_PARSE_'))

try {
  const { verify, reference, options } = parseWords(process.argv.slice(2))
  const beyond = await judgeRows(await verify(reference, options), line => console.log(line))
  process.exitCode = beyond > 0 ? 1 : 0
} catch (thrown) {
  console.error(isUsage(thrown) ? `verify: ${messageOf(thrown)}` : thrown)
  process.exitCode = isUsage(thrown) ? 2 : 1
}
