// Measures this code against a peer: npm run bench -- NAME [--rounds=5] [--key=value …]
import { existsSync, mkdirSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { repositoryRoot } from '../faults.ts'
import { compare, type BenchWords, type OpenBench } from './bench.ts'

const names = readdirSync(new URL('.', import.meta.url))
  .map(file => file.replace(/\.ts$/, ''))
  .filter(name => !['index', 'bench', 'peer', 'pictures', 'inference', 'training'].includes(name))

/** Prints a reason and the usage, and ends with status 2. */
function refuse(reason: string): never {
  console.error(
    `bench: ${reason}\nusage: npm run bench -- ${names.join('|')} [--rounds=N] [--key=value …]`,
  )
  process.exit(2)
}

function parseWords(words: readonly string[]): BenchWords {
  return Object.fromEntries(
    words.map(word => {
      const match = /^--([a-z-]+)=(.*)$/.exec(word)
      return match === null ? refuse(`found ${word}, wanted --key=value`) : [match[1]!, match[2]!]
    }),
  )
}

const [name = '', ...words] = process.argv.slice(2)
if (!names.includes(name)) refuse(`found ${name || 'no name'}, wanted one of ${names.join(', ')}`)
const options = parseWords(words)
const rounds = Number(options.rounds ?? 3)
if (!Number.isInteger(rounds) || rounds < 1)
  refuse(`--rounds: found ${options.rounds ?? ''}, wanted 1 or more`)

// Peers (a Python environment, another program) are made once and kept here; git ignores it.
const peers = join(repositoryRoot, '.bench')
if (!existsSync(peers)) mkdirSync(peers)
const { openBench } = (await import(new URL(`${name}.ts`, import.meta.url).href)) as {
  openBench: OpenBench
}
const bench = await openBench(options, peers)
try {
  const result = await compare(bench, rounds, line => console.error(line))
  console.log(JSON.stringify(result))
} finally {
  await bench.ours.close?.()
  await bench.peer?.close?.()
}
