import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { Side } from './bench.ts'

/** Runs a program to its end, its output shown on stderr; throws when it fails. */
async function runToEnd(program: string, words: readonly string[]): Promise<void> {
  const child = spawn(program, words, { stdio: ['ignore', process.stderr.fd, 'inherit'] })
  const [code] = (await once(child, 'close')) as [number | null]
  if (code !== 0)
    throw new Error(`${program} ${words.join(' ')} ended with status ${code ?? 'none'}`)
}

/** Which python makes the environment; `system` lets it see the packages of that python. */
interface PythonOptions {
  readonly base?: string
  readonly system?: boolean
}

/**
 * Makes a Python environment with pinned `requirements` under `peers` once; answers its python.
 */
export async function openPython(
  peers: string,
  name: string,
  requirements: readonly string[],
  { base = 'python3', system = false }: PythonOptions = {},
): Promise<string> {
  const folder = join(peers, name)
  const python = join(folder, 'bin', 'python')
  const ready = join(folder, 'ready')
  if (existsSync(ready)) return python
  await rm(folder, { recursive: true, force: true })
  await runToEnd(base, ['-m', 'venv', ...(system ? ['--system-site-packages'] : []), folder])
  await runToEnd(python, ['-m', 'pip', 'install', '--quiet', ...requirements])
  // Written last: an install that was cut off is made again.
  await writeFile(ready, requirements.join('\n'))
  return python
}

/** A peer in a process of its own. */
export interface Peer extends Side {
  /** a line that it prints by itself once it is ready */
  hello(): Promise<string>
}

/**
 * A peer that stays alive: for every line `run` on its input it does the work once and prints
 * one line with its measure. Start-up and loading thus stay out of the measure.
 */
export function openPeer(name: string, program: string, words: readonly string[]): Peer {
  const child = spawn(program, words, { stdio: ['pipe', 'pipe', 'inherit'] })
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  return {
    name,
    async hello() {
      const { value, done } = await lines.next()
      if (done === true) throw new Error(`${name}: ended before it was ready; its reason is above`)
      return value
    },
    async run() {
      child.stdin.write('run\n')
      const { value, done } = await lines.next()
      const measure = done === true ? NaN : Number(value)
      if (!(measure > 0))
        throw new Error(`${name}: found ${String(value)}, wanted a measure above 0`)
      return measure
    },
    async close() {
      child.stdin.end()
      if (child.exitCode === null) await once(child, 'close')
    },
  }
}
