import type { Log } from './log.ts'
import { DeepFeverError, StageError, UsageError, messageOf } from './errors.ts'
import {
  flag,
  identityOf,
  optionalPath,
  parseOptions,
  toFlag,
  type OptionTable,
  type Scalar,
  type Values,
} from './options.ts'

/** What a stage gets from whoever runs it. */
export interface Terminal {
  readonly log: Log
  /** aborted by Ctrl-C; a stage stops at the next item and leaves its work folder */
  readonly signal: AbortSignal
  /** what stands before a stage's name on the command line, for help; `npx deepfever` */
  readonly program?: string
}

/** Name, behaviour version and identity of a run: what a manifest says of it. */
export interface Work {
  readonly stage: string
  readonly behaviour: number
  readonly identity: Readonly<Record<string, Scalar>>
}

/** What the `run` of a stage gets. */
export interface Context extends Terminal {
  readonly work: Work
  /** @throws StageError after Ctrl-C; called between items */
  checkpoint(): void
}

/** One step of the chain: `npx deepfever NAME [options]`. */
export interface Stage<O extends OptionTable = OptionTable> {
  /** room and target: `ingest videos` */
  readonly name: string
  readonly summary: string
  /** raised whenever the same options and inputs give another result than before */
  readonly behaviour: number
  readonly options: O
  /** options that may be given as plain words before all others, in this order */
  readonly words?: readonly string[]
  /** the last of `words` takes all plain words that follow, NUL between them */
  readonly many?: boolean
  run(options: Values<O>, context: Context): Promise<unknown>
}

/** Options that every stage has. */
export const commonOptions = {
  force: flag({ help: 'run again even where the result is up to date', role: 'execution' }),
  cached: optionalPath("what Nx keeps in its cache; for Nx's own use"),
} as const

/** Declares a stage; its option types are inferred. */
export const defineStage = <const O extends OptionTable>(stage: Stage<O>): Stage<O> => stage

const PROGRAM = 'npx deepfever'

/** The text behind `--help`. */
export function helpOf(stage: Stage, program = PROGRAM): string {
  const rows = Object.entries(stage.options).map(([name, o]) => {
    const standard = o.required
      ? 'required'
      : o.standard === ''
        ? 'optional'
        : `default ${String(o.standard)}`
    const usage = o.flag ? toFlag(name) : `${toFlag(name)}=…`
    return { usage, help: `${o.help} (${o.flag ? '' : `${o.range}; `}${standard})` }
  })
  const width = Math.max(...rows.map(r => r.usage.length), 6)
  const lines = [...rows, { usage: '--help', help: 'this text' }]
  return [
    `${program} ${stage.name}: ${stage.summary}`,
    '',
    ...lines.map(r => `  ${r.usage.padEnd(width)}  ${r.help}`),
    '',
  ].join('\n')
}

/** A command line with its plain words named: `A B --seed=2` → `--a=A --b=B --seed=2`. */
export function nameWords(
  { words = [], many = false }: Pick<Stage, 'words' | 'many'>,
  argv: readonly string[],
): string[] {
  // A single dash is a word: standard input.
  const flagged = argv.findIndex(word => word.startsWith('-') && word !== '-')
  const before = argv.slice(0, flagged < 0 ? argv.length : flagged)
  const plain = many ? before : before.slice(0, words.length)
  const named = words.slice(0, plain.length).map((name, i) => {
    const isLast = many && i === words.length - 1
    return `${toFlag(name)}=${isLast ? plain.slice(i).join('\0') : plain[i]}`
  })
  return [...named, ...argv.slice(plain.length)]
}

/**
 * Runs a stage from a command line. Exit codes: 0 done or up to date, 1 failed, 2 wrong usage.
 */
export async function runStage(
  stage: Stage,
  argv: readonly string[],
  terminal: Terminal,
  print: (text: string) => void,
): Promise<0 | 1 | 2> {
  if (argv.includes('--help') || argv.includes('-h')) {
    print(helpOf(stage, terminal.program))
    return 0
  }
  try {
    const { name, behaviour, options } = stage
    const { program = PROGRAM } = terminal
    const values = parseOptions(options, nameWords(stage, argv), `${program} ${name}`)
    await stage.run(values, {
      ...terminal,
      work: { stage: name, behaviour, identity: identityOf(options, values) },
      checkpoint() {
        if (terminal.signal.aborted)
          throw new StageError('stopped; the same command goes on where this one was', {})
      },
    })
    return 0
  } catch (thrown) {
    const fields = thrown instanceof DeepFeverError ? thrown.fields : {}
    const kind = thrown instanceof Error ? thrown.name : 'Error'
    terminal.log.event('failed', { kind, message: messageOf(thrown), ...fields })
    if (!(thrown instanceof DeepFeverError) && thrown instanceof Error) print(thrown.stack ?? '')
    return thrown instanceof UsageError ? 2 : 1
  }
}
