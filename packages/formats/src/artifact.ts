import { readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { FormatError, mapOrdered, type Work } from '@deepfever/core'
import {
  contentDigest,
  entriesOf,
  parseManifest,
  sha256,
  workDigest,
  type FileEntry,
  type InputEntry,
  type Manifest,
} from './manifest.ts'
import { decodeShard } from './shard.ts'
import type { Columns, RowOf, Table } from './table.ts'

/** Where bytes lie in a file. */
export interface BytesPlace {
  readonly path: string
  readonly offset: number
  readonly sizeBytes: number
}

/** A finished artifact, open for reading. Every byte handed out was checked against its digest. */
export interface Artifact {
  readonly path: string
  readonly manifest: Manifest
  /** names the content of the whole artifact, whatever its terms */
  readonly digest: string
  /** Rows of all shards of `table`, in order; pictures and lists are views into the shard. */
  rows<C extends Columns>(table: Table<C>): AsyncGenerator<RowOf<Table<C>>>
  /** Rows of one shard. */
  shard<C extends Columns>(table: Table<C>, index: number): AsyncGenerator<RowOf<Table<C>>>
  /** Rows of all shards with the place of `column`'s bytes, for reading them again later. */
  placed<C extends Columns>(
    table: Table<C>,
    column: keyof C & string,
  ): AsyncGenerator<{ readonly row: RowOf<Table<C>>; readonly place: BytesPlace }>
  /** Bytes of a named file. */
  file(name: string): Promise<Uint8Array>
}

const isMissing = (thrown: unknown) =>
  ['ENOENT', 'ENOTDIR'].includes((thrown as NodeJS.ErrnoException).code ?? '')

/** How to make an artifact again, for error messages. */
const rebuildOf = (manifest: Manifest, path: string) =>
  `rebuild with: npx deepfever ${manifest.stage} --out=${path} (and the options it was made with)`

/** Reads `manifest.json` in `path`; undefined where there is none. */
export async function readManifest(
  path: string,
): Promise<{ manifest: Manifest; digest: string } | undefined> {
  const place = join(path, 'manifest.json')
  try {
    const manifest = parseManifest(await readFile(place, 'utf8'), place)
    return { manifest, digest: contentDigest(manifest) }
  } catch (thrown) {
    if (isMissing(thrown)) return undefined
    throw thrown
  }
}

/**
 * Reads one file of an artifact and checks size and digest.
 *
 * @throws FormatError naming the file, found, wanted and the command that rebuilds it
 */
async function readEntry(path: string, entry: FileEntry, manifest: Manifest): Promise<Uint8Array> {
  const place = join(path, entry.name)
  const fail = (found: string, wanted: string): never => {
    throw new FormatError(`${place}: ${found}, wanted ${wanted}; ${rebuildOf(manifest, path)}`, {
      path: place,
      found,
      wanted,
    })
  }
  let file: Uint8Array
  try {
    file = await readFile(place)
  } catch (thrown) {
    if (isMissing(thrown)) return fail('is missing', `${entry.sizeBytes} bytes`)
    throw thrown
  }
  const short = entry.sizeBytes - file.length
  if (short > 0) fail(`ends ${short} bytes early`, `${entry.sizeBytes} bytes`)
  if (short < 0) fail(`has ${-short} bytes too many`, `${entry.sizeBytes} bytes`)
  const found = sha256(file)
  if (found !== entry.sha256) fail(`sha256 ${found}`, `${entry.sha256}: its bytes were changed`)
  return file
}

/**
 * Opens the artifact in `path`.
 *
 * @param kind what it should be: `frames`, `faces`, `targets`, `checkpoint`, …
 * @throws FormatError when it is absent, of another kind, or its manifest is damaged
 */
export async function openArtifact(path: string, kind: string): Promise<Artifact> {
  const read = await readManifest(path)
  if (!read)
    throw new FormatError(`${path}: no manifest.json, wanted a ${kind} artifact`, {
      path,
      wanted: kind,
    })
  const { manifest, digest } = read
  if (manifest.kind !== kind)
    throw new FormatError(
      `${path}: found a ${manifest.kind} artifact (made by ${manifest.stage}), wanted ${kind}`,
      { path, found: manifest.kind, wanted: kind },
    )
  const tableOf = (table: Table<Columns>) => {
    const entry = manifest.tables[table.name]
    if (entry?.version === table.version) return entry
    const found = entry
      ? `${table.name} v${entry.version}`
      : Object.keys(manifest.tables).join(', ')
    throw new FormatError(
      `${path}: found ${found || 'no tables'}, wanted ${table.name} v${table.version}; ` +
        rebuildOf(manifest, path),
      { path, found, wanted: `${table.name} v${table.version}` },
    )
  }
  async function* shard<C extends Columns>(table: Table<C>, index: number) {
    for await (const { row } of readShard(table, index)) yield row
  }
  async function* readShard<C extends Columns>(table: Table<C>, index: number) {
    const entry = tableOf(table).shards[index]
    if (!entry)
      throw new RangeError(
        `${path}: ${table.name} has ${tableOf(table).shards.length} shards, not ${index}`,
      )
    const place = join(path, entry.name)
    const file = await readEntry(path, entry, manifest)
    let rows = 0
    for await (const row of decodeShard(table, file, place)) {
      rows++
      yield { row, file, place }
    }
    if (rows !== entry.rows)
      throw new FormatError(
        `${place}: found ${rows} rows, wanted ${entry.rows}; ${rebuildOf(manifest, path)}`,
        { path: place, found: rows, wanted: entry.rows },
      )
  }
  return {
    path,
    manifest,
    digest,
    shard,
    async *rows(table) {
      for (const index of tableOf(table).shards.keys()) yield* shard(table, index)
    },
    async *placed(table, column) {
      for (const index of tableOf(table).shards.keys())
        for await (const { row, file, place } of readShard(table, index)) {
          const bytes = row[column] as unknown as Uint8Array
          if (bytes.buffer !== file.buffer)
            throw new TypeError(`${place}: ${column} is no view into its file`)
          const offset = bytes.byteOffset - file.byteOffset
          yield { row, place: { path: place, offset, sizeBytes: bytes.byteLength } }
        }
    },
    async file(name) {
      const entry = manifest.files.find(file => file.name === name)
      if (!entry)
        throw new FormatError(
          `${path}: has no file ${name}, only ${manifest.files.map(f => f.name).join(', ') || 'none'}`,
          { path, wanted: name },
        )
      return readEntry(path, entry, manifest)
    },
  }
}

/** An artifact as an input of another one: its digest and its terms. */
export const inputOf = (
  role: string,
  { digest, manifest }: Pick<Artifact, 'digest' | 'manifest'>,
): InputEntry => ({ role, digest, terms: manifest.terms })

/**
 * The artifact in `out` when it was made in the same way from other inputs and is whole: what it
 * holds of unchanged items need not be made again.
 */
export async function openEarlier(
  spec: Work & { readonly out: string },
): Promise<Artifact | undefined> {
  const found = await readManifest(spec.out).catch(() => undefined)
  if (!found) return undefined
  const recipe = ({ stage, behaviour, identity }: Work) =>
    workDigest({ stage, behaviour, identity, inputs: [] })
  if (recipe(found.manifest) !== recipe(spec)) return undefined
  if ((await damageOf(spec.out)) !== undefined) return undefined
  return openArtifact(spec.out, found.manifest.kind)
}

/** Files read side by side when digests are checked. */
const READERS = 8

/** Size, modification and change time of a file: equal stamps mean it was not touched since. */
async function stampOf(place: string): Promise<string> {
  const { size, mtimeMs, ctimeMs, ino } = await stat(place)
  return [size, mtimeMs, ctimeMs, ino].join(' ')
}

/** What stats.json holds: facts of one run, which equal work need not share. */
export interface Stats {
  readonly seconds?: number
  readonly finished?: string
  /** stamps of all files when their digests were last known to be right */
  readonly stamps?: Readonly<Record<string, string>>
}

const readStats = (path: string): Promise<Stats> =>
  readFile(join(path, 'stats.json'), 'utf8')
    .then(text => JSON.parse(text) as Stats)
    .catch(() => ({}))

/** Writes stats.json with the stamps of all files as they stand now. */
export async function writeStats(path: string, manifest: Manifest, stats: Stats): Promise<void> {
  const stamps: Record<string, string> = {}
  for (const { name } of entriesOf(manifest)) stamps[name] = await stampOf(join(path, name))
  await writeFile(join(path, 'stats.json'), `${JSON.stringify({ ...stats, stamps }, null, 1)}\n`)
}

/**
 * What is wrong with the artifact in `path`, in words: a file missing, cut or changed. A file
 * whose stamp is the one recorded when its digest was last known is not read again, so this takes
 * milliseconds. Undefined when all is well, and where no artifact stands.
 */
export async function damageOf(path: string): Promise<string | undefined> {
  try {
    const read = await readManifest(path)
    if (!read) return undefined
    const { manifest } = read
    const stats = await readStats(path)
    const touched: FileEntry[] = []
    for (const entry of entriesOf(manifest)) {
      const stamp = await stampOf(join(path, entry.name)).catch(() => undefined)
      if (stamp === undefined || stamp !== stats.stamps?.[entry.name]) touched.push(entry)
    }
    const reads = mapOrdered(touched, READERS, entry => readEntry(path, entry, manifest))
    for await (const data of reads) void data
    // Whole after all: the next look need not read them again.
    if (touched.length > 0) await writeStats(path, manifest, stats).catch(() => {})
  } catch (thrown) {
    if (thrown instanceof FormatError) return thrown.message
    throw thrown
  }
  return undefined
}
