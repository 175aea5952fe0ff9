import { createHash } from 'node:crypto'
import { mkdir, rename, rm, rmdir, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { StageError, type Log, type Work } from '@deepfever/core'
import { damageOf, readManifest, writeStats } from './artifact.ts'
import { replaceDurably, writeDurably } from './durable.ts'
import { openJournal, type State } from './journal.ts'
import { takeLock } from './lock.ts'
import {
  encodeManifest,
  sha256,
  unionOfTerms,
  workDigest,
  type InputEntry,
  type Manifest,
  type Terms,
} from './manifest.ts'
import { encodeRows } from './shard.ts'
import type { Columns, Row, RowOf, Table } from './table.ts'

/** What an artifact is and what it is made from. */
export interface ArtifactSpec extends Work {
  /** directory; whole or absent at any moment */
  readonly out: string
  readonly kind: string
  readonly inputs: readonly InputEntry[]
  /** terms beside those of its inputs; they follow their sources and make nothing again */
  readonly terms?: readonly Terms[] | undefined
  /** make it again even where it is up to date */
  readonly force?: boolean
}

/** The writing side of an artifact, handed to the body of `writeArtifact`. */
export interface ArtifactWriter {
  /** folder that outlives a kill, for what the body must find again (checkpoints) */
  readonly work: string
  /** Adds a row to the table's current shard. */
  append<C extends Columns>(table: Table<C>, row: RowOf<Table<C>>): Promise<void>
  /**
   * Adds a whole file. `durable: false` spares the wait for the disk, for many small files that
   * are quickly made again; what a crash leaves of them is noticed by its digest.
   */
  file(name: string, data: Uint8Array | string, how?: { durable: boolean }): Promise<void>
  /**
   * Adds a file about this one run, such as its times: it lies beside the shards and stands in no
   * manifest, since equal work need not share it.
   */
  note(name: string, data: Uint8Array | string): Promise<void>
  /** Counts items that came out. */
  accept(count?: number): void
  /** Counts items turned away, by a stable code; the first of each code is kept as example. */
  reject(code: string, example: string, count?: number): void
  /** True when an earlier, killed run finished this item: skip it. */
  isDone(item: string): boolean
  /** Ends an item and counts its inputs (1); with a full shard, a point to continue from. */
  done(item: string, inputs?: number): Promise<void>
  /** Facts for readers, merged into the manifest. */
  describe(metadata: Readonly<Record<string, unknown>>): void
}

/** A shard ends with the item that reaches these sizes, */
const SHARD_BYTES = 32 * 2 ** 20
const SHARD_ROWS = 8192
/** or inside an item that is this many times larger, so that memory stays bounded: rows and
 *  columns lie beside each other while a shard is written. */
const LONG_ITEM = 1.5

const sizeOf = (row: Row): number =>
  Object.values(row).reduce<number>(
    (sum, v) => sum + (typeof v === 'string' ? v.length : ArrayBuffer.isView(v) ? v.byteLength : 8),
    0,
  )

/** The manifest in `out` if it is this very work and every file is whole. */
async function upToDate(spec: ArtifactSpec): Promise<Manifest | undefined> {
  const found = await readManifest(spec.out).catch(() => undefined)
  if (!found || found.manifest.kind !== spec.kind) return undefined
  if (workDigest(found.manifest) !== workDigest(spec)) return undefined
  return (await damageOf(spec.out)) === undefined ? found.manifest : undefined
}

const termsOf = ({ terms = [], inputs }: ArtifactSpec) =>
  unionOfTerms([...terms, ...inputs.flatMap(input => input.terms ?? [])])

/** Brings the terms of an artifact that is up to date to what its sources say by now. */
async function refreshTerms(spec: ArtifactSpec, present: Manifest, log: Log): Promise<Manifest> {
  const { out, stage } = spec
  const terms = termsOf(spec)
  if (JSON.stringify(terms) === JSON.stringify(present.terms)) return present
  const unlock = await takeLock(`${out}.work`)
  try {
    const manifest = { ...present, terms }
    await replaceDurably(join(out, 'manifest.json'), encodeManifest(manifest))
    log.event('terms changed', { out, stage, found: present.terms, wanted: terms })
    return manifest
  } finally {
    await unlock()
    // An interrupted run may have left more in it.
    await rmdir(`${out}.work`).catch(() => {})
  }
}

/** The finished manifest; names in it are sorted, so equal work gives equal bytes. */
function toManifest(spec: ArtifactSpec, state: State): Manifest {
  const { inputs, outputs } = state
  const rejects = sorted(state.rejects)
  const rejected = Object.values(rejects).reduce((sum, reject) => sum + reject.count, 0)
  if (inputs !== outputs + rejected)
    throw new StageError(
      `${spec.out}: the ledger does not close: ${inputs} inputs, ${outputs} outputs, ` +
        `${rejected} rejects; this is a defect of the stage ${spec.stage}`,
      { inputs, outputs, rejected },
    )
  return {
    manifest: 1,
    kind: spec.kind,
    stage: spec.stage,
    behaviour: spec.behaviour,
    identity: sorted(spec.identity),
    inputs: spec.inputs.map(({ role, digest }) => ({ role, digest })),
    terms: termsOf(spec),
    ledger: { inputs, outputs, rejects },
    tables: sorted(state.tables),
    files: state.files,
    metadata: state.metadata,
  }
}

const sorted = <T>(record: Readonly<Record<string, T>>): Record<string, T> =>
  Object.fromEntries(Object.entries(record).sort(([a], [b]) => (a < b ? -1 : 1)))

/** Puts the finished parts under the artifact's name; an older artifact leaves first. */
async function moveIntoPlace(out: string, work: string, parts: string): Promise<void> {
  const old = join(work, 'old')
  await rm(old, { recursive: true, force: true })
  await rename(out, old).catch((thrown: NodeJS.ErrnoException) => {
    if (thrown.code !== 'ENOENT') throw thrown
  })
  await rename(parts, out)
}

const summaryOf = ({ ledger, tables }: Manifest) => ({
  ...Object.fromEntries(Object.entries(tables).map(([name, { rows }]) => [name, rows])),
  inputs: ledger.inputs,
  outputs: ledger.outputs,
  ...(Object.keys(ledger.rejects).length > 0 && {
    rejects: Object.fromEntries(Object.entries(ledger.rejects).map(([c, r]) => [c, r.count])),
  }),
})

/**
 * Makes the artifact `spec.out` by running `body`, unless it is there already.
 *
 * The body writes into `<out>.work/`; the finished directory appears under its name in one rename.
 * A killed run leaves `<out>.work/` with a journal, and the next one goes on behind the last full
 * shard. Shards end at fixed row and byte counts, so their bytes do not depend on interruptions.
 *
 * @throws StageError when another process writes there, or the ledger does not close
 */
export async function writeArtifact(
  spec: ArtifactSpec,
  log: Log,
  body: (write: ArtifactWriter) => Promise<void>,
): Promise<Manifest> {
  const present = spec.force ? undefined : await upToDate(spec)
  if (present) {
    log.event('up to date', { out: spec.out, stage: spec.stage })
    return refreshTerms(spec, present, log)
  }
  const work = `${spec.out}.work`
  const parts = join(work, 'parts')
  await mkdir(dirname(spec.out), { recursive: true })
  const unlock = await takeLock(work)
  const started = Date.now()
  const journalDigest = `${spec.force ? 'forced ' : ''}${workDigest(spec)}`
  try {
    const journal = await openJournal(work, parts, journalDigest, log)
    const { state } = journal
    const pending = new Map<string, { table: Table; rows: Row[]; sizeBytes: number }>()
    let items: string[] = []

    const closeShard = async (name: string) => {
      const shard = pending.get(name)
      if (!shard) return
      pending.delete(name)
      const entry = (state.tables[name] ??= { version: shard.table.version, rows: 0, shards: [] })
      const extension = shard.table.storage
      const file = `${name}-${String(entry.shards.length).padStart(5, '0')}.${extension}`
      const hash = createHash('sha256')
      let sizeBytes = 0
      const pieces = encodeRows(shard.table, shard.rows as never, join(spec.out, file))
      async function* hashed() {
        for await (const piece of pieces) {
          hash.update(piece)
          sizeBytes += piece.length
          yield piece
        }
      }
      await writeDurably(join(parts, file), hashed())
      const rows = shard.rows.length
      entry.shards.push({ name: file, sizeBytes, sha256: hash.digest('hex'), rows })
      entry.rows += rows
    }
    const isFull = (shard: { rows: Row[]; sizeBytes: number }, times: number) =>
      shard.sizeBytes >= SHARD_BYTES * times || shard.rows.length >= SHARD_ROWS * times

    await body({
      work,
      async append(table, row) {
        const shard = pending.get(table.name) ?? { table: table as Table, rows: [], sizeBytes: 0 }
        pending.set(table.name, shard)
        shard.rows.push(row as Row)
        shard.sizeBytes += sizeOf(row as Row)
        if (isFull(shard, LONG_ITEM)) await closeShard(table.name)
      },
      async file(name, data, { durable } = { durable: true }) {
        await mkdir(dirname(join(parts, name)), { recursive: true })
        await (durable ? writeDurably : writeFile)(join(parts, name), data)
        const sizeBytes = typeof data === 'string' ? Buffer.byteLength(data) : data.length
        state.files.push({ name, sizeBytes, sha256: sha256(data) })
      },
      note: (name, data) => writeFile(join(parts, name), data),
      accept(count = 1) {
        state.outputs += count
      },
      reject(code, example, count = 1) {
        const entry = (state.rejects[code] ??= { count: 0, example })
        entry.count += count
      },
      isDone: item => journal.done.has(item),
      async done(item, inputs = 1) {
        state.inputs += inputs
        items.push(item)
        // Only a moment with no half-filled shard can be returned to: close all or none.
        if (![...pending.values()].some(shard => isFull(shard, 1))) return
        for (const name of [...pending.keys()]) await closeShard(name)
        await journal.record(items)
        items = []
      },
      describe(metadata) {
        Object.assign(state.metadata, metadata)
      },
    })
    for (const name of [...pending.keys()]) await closeShard(name)
    const manifest = toManifest(spec, state)
    await writeDurably(join(parts, 'manifest.json'), encodeManifest(manifest))
    await moveIntoPlace(spec.out, work, parts)
    const seconds = (Date.now() - started) / 1000
    await writeStats(spec.out, manifest, { seconds, finished: new Date().toISOString() })
    await rm(work, { recursive: true, force: true })
    log.event('wrote', {
      out: spec.out,
      ...summaryOf(manifest),
      seconds: +seconds.toFixed(1),
    })
    return manifest
  } finally {
    await unlock()
  }
}
