import { createHash } from 'node:crypto'
import { FormatError, messageOf, type Scalar } from '@deepfever/core'

/** One file of an artifact, named relative to its directory. */
export interface FileEntry {
  readonly name: string
  readonly sizeBytes: number
  readonly sha256: string
}

/** A file of table rows. */
export interface ShardEntry extends FileEntry {
  readonly rows: number
}

/** The shards of one table, in row order. */
export interface TableEntry {
  readonly version: number
  readonly rows: number
  readonly shards: readonly ShardEntry[]
}

/** What was turned away for one reason. */
export interface Reject {
  readonly count: number
  /** one of the items, by name */
  readonly example: string
}

/** Where every item went: `inputs` = `outputs` + all rejects. */
export interface Ledger {
  readonly inputs: number
  readonly outputs: number
  readonly rejects: Readonly<Record<string, Reject>>
}

/** Something the artifact was made from. */
export interface InputEntry {
  /** what it is to the stage: `frames`, `teacher256` */
  readonly role: string
  /** digest of its manifest, or of the file */
  readonly digest: string
  /** terms it is under; they stand in the manifest's own list */
  readonly terms?: readonly Terms[] | undefined
}

/** Under what people's pictures may be used. */
export interface Terms {
  readonly licence: string
  /** the basis on which the people in them agreed */
  readonly consent: string
  /** who answers for them */
  readonly contact: string
}

/** The terms of what says nothing. */
export const unstatedTerms: Terms = { licence: 'unstated', consent: 'unstated', contact: '' }

/** Every one of the terms once, in a fixed order. */
export const unionOfTerms = (terms: Iterable<Terms>): readonly Terms[] => {
  const byText = new Map<string, Terms>()
  for (const { licence, consent, contact } of terms)
    byText.set(JSON.stringify([licence, consent, contact]), { licence, consent, contact })
  return [...byText].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, one]) => one)
}

/** The record beside the shards. Times stand in stats.json: equal work gives an equal manifest. */
export interface Manifest {
  readonly manifest: 1
  readonly kind: string
  readonly stage: string
  readonly behaviour: number
  readonly identity: Readonly<Record<string, Scalar>>
  readonly inputs: readonly InputEntry[]
  /** the union of its inputs' */
  readonly terms: readonly Terms[]
  readonly ledger: Ledger
  readonly tables: Readonly<Record<string, TableEntry>>
  readonly files: readonly FileEntry[]
  /** facts for readers of the artifact: names of target blocks, classes, sizes */
  readonly metadata: Readonly<Record<string, unknown>>
}

/** Hexadecimal sha256. */
export const sha256 = (data: Uint8Array | string): string =>
  createHash('sha256').update(data).digest('hex')

/** The manifest's bytes on disk. */
export const encodeManifest = (manifest: Manifest): string =>
  `${JSON.stringify(manifest, null, 1)}\n`

/**
 * Names the content of an artifact: sha256 of its manifest without the terms. New terms for the
 * same pictures make nothing again that was made of them.
 */
export const contentDigest = (manifest: Manifest): string =>
  sha256(encodeManifest({ ...manifest, terms: [unstatedTerms] }))

/** What makes two runs the same work: stage, its behaviour version, identity and inputs. */
export const workDigest = (
  m: Pick<Manifest, 'stage' | 'behaviour' | 'identity' | 'inputs'>,
): string =>
  sha256(
    JSON.stringify([
      ...[m.stage, m.behaviour, Object.entries(m.identity).sort()],
      m.inputs.map(({ role, digest }) => ({ role, digest })),
    ]),
  )

/** All files an artifact consists of besides its manifest. */
export const entriesOf = (manifest: Manifest): readonly FileEntry[] => [
  ...Object.values(manifest.tables).flatMap(table => table.shards),
  ...manifest.files,
]

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

const isEntry = (value: unknown): boolean =>
  isObject(value) &&
  typeof value.name === 'string' &&
  !/^\/|(^|\/)\.\.(\/|$)/.test(value.name) &&
  Number.isSafeInteger(value.sizeBytes) &&
  /^[0-9a-f]{64}$/.test(String(value.sha256))

const isInput = (value: unknown): boolean =>
  isObject(value) && typeof value.role === 'string' && typeof value.digest === 'string'

const isTerms = (value: unknown): boolean =>
  isObject(value) && ['licence', 'consent', 'contact'].every(key => typeof value[key] === 'string')

/** The terms that a value holds; those of what says nothing where it holds none. */
export const toTerms = (value: unknown): readonly Terms[] =>
  Array.isArray(value) && value.every(isTerms) ? (value as readonly Terms[]) : [unstatedTerms]

const isLedger = ({ inputs, outputs, rejects }: Record<string, unknown>): boolean =>
  Number.isSafeInteger(inputs) &&
  Number.isSafeInteger(outputs) &&
  isObject(rejects) &&
  Object.values(rejects).every(
    reject =>
      isObject(reject) && Number.isSafeInteger(reject.count) && typeof reject.example === 'string',
  )

/**
 * Parses manifest.json.
 *
 * @throws FormatError when it is no JSON, of another version, or lacks a part
 */
export function parseManifest(json: string, place: string): Manifest {
  let value: unknown
  try {
    value = JSON.parse(json)
  } catch (thrown) {
    throw new FormatError(`${place}: not JSON: ${messageOf(thrown)}`, { place }, thrown)
  }
  const fail = (what: string, found: unknown, wanted: string): never => {
    throw new FormatError(`${place}: ${what}: found ${JSON.stringify(found)}, wanted ${wanted}`, {
      place,
      found,
      wanted,
    })
  }
  if (!isObject(value)) return fail('manifest', value, 'an object')
  if (value.manifest !== 1) fail('manifest version', value.manifest, '1')
  for (const key of ['kind', 'stage'])
    if (typeof value[key] !== 'string') fail(key, value[key], 'text')
  for (const key of ['identity', 'ledger', 'tables', 'metadata'])
    if (!isObject(value[key])) fail(key, value[key], 'an object')
  for (const key of ['inputs', 'files'])
    if (!Array.isArray(value[key])) fail(key, value[key], 'a list')
  if (!isLedger(value.ledger as Record<string, unknown>))
    fail('ledger', value.ledger, 'inputs, outputs and rejects with count and example')
  const { inputs, outputs, rejects } = value.ledger as unknown as Ledger
  const sum = Object.values(rejects).reduce((total, { count }) => total + count, outputs)
  if (sum !== inputs) fail('inputs of the ledger', inputs, `${sum}, its outputs and rejects`)
  for (const entry of value.inputs as unknown[])
    if (!isInput(entry)) fail('input', entry, 'role and digest')
  // Absent where the artifact was made before terms were kept.
  value.terms ??= [unstatedTerms]
  if (!Array.isArray(value.terms) || !value.terms.every(isTerms))
    fail('terms', value.terms, 'a list of licence, consent and contact')
  for (const entry of value.files as unknown[])
    if (!isEntry(entry)) fail('file entry', entry, 'name, sizeBytes and sha256')
  for (const [name, table] of Object.entries(value.tables as Record<string, unknown>)) {
    if (!isObject(table) || !Array.isArray(table.shards)) fail(`table ${name}`, table, 'shards')
    const { shards, rows } = table as { shards: Record<string, unknown>[]; rows: number }
    const bad = shards.find(shard => !isEntry(shard) || !Number.isSafeInteger(shard.rows))
    if (bad !== undefined) fail(`shard of ${name}`, bad, 'name, sizeBytes, sha256 and rows')
    const sum = shards.reduce((total, shard) => total + (shard.rows as number), 0)
    if (sum !== rows) fail(`rows of ${name}`, rows, `${sum}, the sum over its shards`)
  }
  return value as unknown as Manifest
}
