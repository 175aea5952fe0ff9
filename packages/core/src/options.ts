import { parseArgs } from 'node:util'
import { UsageError } from './errors.ts'

/**
 * identity: changes the result, stands in the manifest. execution: how it is computed (workers,
 * progress), never recorded. place: where things lie; what lies there is recorded by digest.
 */
export type OptionRole = 'identity' | 'execution' | 'place'

/** What an identity is made of. */
export type Scalar = string | number | boolean

/** One option of a stage: `fps` is given as `--fps=5`, `minFace` as `--min-face=20`. */
export interface Option<T> {
  readonly role: OptionRole
  readonly help: string
  /** shown in help and in errors: `number from 0.01 to 240` */
  readonly range: string
  /** value when not given; `required` options have none */
  readonly standard: T | undefined
  readonly required: boolean
  readonly flag: boolean
  /** undefined when `text` is out of range */
  parse(text: string): T | undefined
}

/** All options of a stage by name. */
export type OptionTable = Readonly<Record<string, Option<unknown>>>

/** The parsed values of an option table. */
export type Values<O extends OptionTable> = {
  readonly [K in keyof O]: O[K] extends Option<infer T> ? T : never
}

interface Common<T> {
  readonly help: string
  readonly role?: OptionRole
  readonly standard?: T
}

function option<T>(
  { help, role = 'identity', standard }: Common<T>,
  range: string,
  parse: (text: string) => T | undefined,
): Option<T> {
  const required = standard === undefined
  return { role, help, range, standard, required, flag: false, parse }
}

interface Bounds extends Common<number> {
  readonly min: number
  readonly max: number
}

/** A number from `min` to `max`, both included. */
export const number = (spec: Bounds): Option<number> =>
  option(spec, `number from ${spec.min} to ${spec.max}`, text => {
    const value = text.trim() === '' ? NaN : Number(text)
    return value >= spec.min && value <= spec.max ? value : undefined
  })

/** A whole number from `min` to `max`, both included. */
export const integer = (spec: Bounds): Option<number> =>
  option(spec, `whole number from ${spec.min} to ${spec.max}`, text => {
    const value = /^-?\d+$/.test(text) ? Number(text) : NaN
    return value >= spec.min && value <= spec.max ? value : undefined
  })

/** One of a few words. */
export const choice = <const C extends string>(
  spec: Common<C> & { readonly choices: readonly C[] },
): Option<C> =>
  option<C>(spec, `one of ${spec.choices.join(', ')}`, text => spec.choices.find(c => c === text))

/** Any text. */
export const text = (spec: Common<string>): Option<string> => option(spec, 'text', t => t)

/** A path that must be given. */
export const path = (help: string): Option<string> =>
  option<string>({ help, role: 'place' }, 'path', t => (t === '' ? undefined : t))

/** A path that may be left out; its value is then the empty text. */
export const optionalPath = (help: string, standard = ''): Option<string> =>
  option({ help, role: 'place', standard }, 'path', t => t)

/** On or off: `--force`, `--no-force`. */
export const flag = (spec: Common<boolean>): Option<boolean> => ({
  ...option<boolean>({ standard: false, ...spec }, 'true or false', t =>
    t === '' || t === 'true' ? true : t === 'false' ? false : undefined,
  ),
  flag: true,
})

/** `minFace` → `--min-face`. */
export const toFlag = (name: string): string =>
  `--${name.replace(/[A-Z]/g, c => `-${c.toLowerCase()}`)}`

/** Least number of single-letter edits between two words. */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      const swap = row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1)
      next.push(Math.min(swap, row[j]! + 1, next[j - 1]! + 1))
    }
    row = next
  }
  return row[b.length]!
}

/** The one of `known` nearest to `word`, when it is near enough to be a slip. */
export function nearest(word: string, known: readonly string[]): string | undefined {
  const [best] = known
    .map(name => ({ name, distance: editDistance(word, name) }))
    .sort((a, b) => a.distance - b.distance)
  return best && best.distance <= Math.max(2, word.length / 3) ? best.name : undefined
}

/**
 * Parses `--name=value`, `--name value`, `--flag` and `--no-flag`.
 *
 * @throws UsageError naming an unknown option (with the nearest), a bad value (with its range), a
 *   missing one, or an option given twice
 */
export function parseOptions<O extends OptionTable>(
  table: O,
  argv: readonly string[],
  command: string,
): Values<O> {
  const byFlag = new Map(
    Object.entries(table).map(([name, o]) => [toFlag(name).slice(2), { name, o }]),
  )
  const { tokens } = parseArgs({
    args: [...argv],
    options: Object.fromEntries(
      [...byFlag].map(([key, { o }]) => [
        key,
        { type: o.flag ? 'boolean' : 'string', ...(key.length === 1 && { short: key }) } as const,
      ]),
    ),
    strict: false,
    allowPositionals: true,
    tokens: true,
  })
  const hint = `see: ${command} --help`
  const given: Record<string, unknown> = {}
  for (const token of tokens) {
    if (token.kind === 'option-terminator') continue
    if (token.kind === 'positional')
      throw new UsageError(`unexpected argument ${token.value}; ${hint}`, { found: token.value })
    const negated = token.name.startsWith('no-') ? byFlag.get(token.name.slice(3)) : undefined
    const entry = byFlag.get(token.name) ?? (negated?.o.flag ? negated : undefined)
    if (!entry) {
      const near = nearest(token.name, [...byFlag.keys()])
      throw new UsageError(
        `unknown option --${token.name}${near ? `; did you mean --${near}?` : ''}; ${hint}`,
        { found: token.name, nearest: near },
      )
    }
    const { name, o } = entry
    if (name in given)
      throw new UsageError(`--${token.name} is given twice; ${hint}`, { option: name })
    const found = token.value ?? (o.flag ? String(entry !== negated) : '')
    const value = o.parse(found)
    if (value === undefined)
      throw new UsageError(
        `--${token.name}: found ${JSON.stringify(found)}, wanted ${o.range}; ${hint}`,
        { option: name, found, wanted: o.range },
      )
    given[name] = value
  }
  for (const [name, o] of Object.entries(table)) {
    if (name in given) continue
    if (o.required)
      throw new UsageError(`${toFlag(name)} is missing: ${o.help}; ${hint}`, { option: name })
    given[name] = o.standard
  }
  return given as Values<O>
}

/** The options that change the result, by name, in alphabetical order. */
export function identityOf<O extends OptionTable>(
  table: O,
  values: Values<O>,
): Readonly<Record<string, Scalar>> {
  const names = Object.keys(table)
    .filter(name => table[name]!.role === 'identity')
    .sort()
  return Object.fromEntries(names.map(name => [name, values[name] as Scalar]))
}
