import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Readable } from 'node:stream'

/** Tasks whose result came from the cache, and all tasks of the run. */
export interface Hits {
  readonly cached: number
  readonly tasks: number
}

/** What a run of Nx left behind. */
export interface NxRun {
  /** exit status; 1 when a signal ended it */
  readonly status: number
  readonly hits: Hits | undefined
  readonly wallMs: number
}

type Environment = Readonly<Record<string, string | undefined>>

/**
 * The environment that keeps Nx inside the clone: no daemon, no cloud, no screen of its own, and
 * cache and workspace data in `.nx/` unless the caller's environment puts them elsewhere (by
 * default all clones of a user share one cache).
 */
export const nxEnvironment = (root: string, outer: Environment): Environment => ({
  NX_CACHE_DIRECTORY: join(root, '.nx', 'cache'),
  NX_WORKSPACE_DATA_DIRECTORY: join(root, '.nx', 'workspace-data'),
  ...outer,
  NX_DAEMON: 'false',
  NX_TUI: 'false',
  NX_NO_CLOUD: 'true',
})

/**
 * Reads how many tasks came from the cache from what Nx printed.
 *
 * @returns undefined where none did: Nx then prints no line about it
 */
export function parseHits(output: string): Hits | undefined {
  const hits = /cache instead of running the command for (\d+) out of (\d+) tasks?/.exec(output)
  return hits === null ? undefined : { cached: Number(hits[1]), tasks: Number(hits[2]) }
}

async function copy(from: Readable, to: NodeJS.WritableStream, keep: (text: string) => void) {
  from.setEncoding('utf8')
  for await (const text of from as AsyncIterable<string>) {
    keep(text)
    to.write(text)
  }
}

/** Runs Nx with `words` in `root`, showing what it prints as it comes. */
export async function runNx(
  root: string,
  words: readonly string[],
  environment: Environment = process.env,
): Promise<NxRun> {
  const folder = join(root, 'node_modules', 'nx')
  const { bin } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as {
    bin: Record<string, string>
  }
  const started = performance.now()
  const child = spawn(process.execPath, [join(folder, bin.nx ?? ''), ...words], {
    cwd: root,
    env: nxEnvironment(root, environment),
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let output = ''
  const keep = (text: string) => (output += text)
  const ended = new Promise<number>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', code => resolve(code ?? 1))
  })
  await Promise.all([
    copy(child.stdout, process.stdout, keep),
    copy(child.stderr, process.stderr, keep),
  ])
  const status = await ended
  return { status, hits: parseHits(output), wallMs: performance.now() - started }
}
