import { rm } from 'node:fs/promises'
import { extname, join, resolve } from 'node:path'
import { StageError, defineStage, optionalPath, path, type Log } from '@deepfever/core'
import * as formats from '@deepfever/formats'
import {
  openForgotten,
  takeLock,
  uses,
  writeArtifact,
  type Artifact,
  type Columns,
  type Forgotten,
  type Row,
  type Table,
} from '@deepfever/formats'
import { descendantsOf, findArtifacts, lostInputsOf, stalePagesOf } from './artifact-tree.ts'
import { openTraces } from './traces.ts'

/** Every table there is, by name. */
const tables = new Map(
  Object.values<unknown>(formats)
    .filter(
      (value): value is Table<Columns> =>
        typeof value === 'object' && value !== null && 'columns' in value && 'storage' in value,
    )
    .map(table => [table.name, table]),
)

const textOf = (row: Row, name: string): string => {
  const value = row[name]
  return typeof value === 'string' ? value : ''
}

/** Whether a row is of a clip, frame or face that is to be forgotten. */
function isForgotten(row: Row, { clips, faces, frames }: Forgotten): boolean {
  const ids = ['faceId', 'first', 'second', 'third'].map(name => textOf(row, name))
  const clipIds = [textOf(row, 'clipId'), ...ids.map(id => id.split('@')[0]!)]
  const isFrame = 'image' in row && frames.has(textOf(row, 'frameId'))
  return isFrame || ids.some(id => faces.has(id)) || clipIds.some(id => clips.has(id))
}

/** The row without what shows a forgotten face; undefined where nothing of it may stay. */
function cleaned(row: Row, forgotten: Forgotten): Row | undefined {
  if (isForgotten(row, forgotten)) return undefined
  if ('example' in row && forgotten.faces.has(textOf(row, 'example')))
    return { ...row, example: textOf(row, 'clipName'), crop: new Uint8Array(0) }
  return row
}

function tableOf(artifact: Artifact, name: string): Table<Columns> {
  const table = tables.get(name)
  if (table) return table
  throw new StageError(
    `${artifact.path}: table ${name} is of another release; remove the artifact yourself`,
    { path: artifact.path, table: name },
  )
}

/** Forgotten faces that a checkpoint's batches held; undefined where it does not say. */
async function trainedOn(checkpoint: Artifact, forgotten: Forgotten): Promise<number | undefined> {
  if (checkpoint.manifest.tables[uses.name] === undefined) return undefined
  const found = new Set<string>()
  for await (const row of checkpoint.rows(uses))
    if (isForgotten(row, forgotten)) found.add(row.faceId)
  return found.size
}

const isCheckpoint = ({ manifest }: Artifact): boolean => manifest.kind === 'checkpoint'

/** Whether an artifact holds anything of what is to be forgotten. */
async function holds(artifact: Artifact, forgotten: Forgotten): Promise<boolean> {
  for (const name of Object.keys(artifact.manifest.tables))
    for await (const row of artifact.rows(tableOf(artifact, name)))
      if (cleaned(row, forgotten) !== row) return true
  return false
}

/** Whether a page or report of an artifact names what is forgotten. */
async function isNamedIn(
  { path, manifest: { kind, files } }: Artifact,
  isTrace: (file: string) => Promise<boolean>,
): Promise<boolean> {
  if (kind === 'checkpoint') return false
  for (const { name } of files) if (await isTrace(join(path, name))) return true
  return false
}

/** Names checkpoints of which nothing tells any more what they were trained on. */
function nameUnknown(artifacts: readonly Artifact[], known: ReadonlySet<Artifact>, log: Log): void {
  for (const artifact of artifacts) {
    const { path, manifest } = artifact
    if (!isCheckpoint(artifact) || known.has(artifact) || manifest.tables[uses.name]) continue
    const roles = lostInputsOf(artifact, artifacts).join(', ')
    if (roles) log.warn('was trained on what stands no more; it may be forgotten', { path, roles })
  }
}

/** Forms of the files that `extract` writes. */
const FEATURES = ['.parquet', '.arrow', '.csv', '.jsonl']

async function removeFeatures(path: string, log: Log): Promise<void> {
  if (!FEATURES.includes(extname(path)))
    return log.warn('names what is forgotten; look at it yourself', { path })
  await rm(path)
  log.event('removed', { path, remedy: 'npx deepfever extract' })
}

/** Writes an artifact again without the forgotten rows; it appears under its name in one step. */
async function rewrite(artifact: Artifact, forgotten: Forgotten, log: Log): Promise<number> {
  const { manifest, path: out } = artifact
  const { stage, behaviour, identity, kind, terms, ledger, metadata } = manifest
  const inputs = [...manifest.inputs.filter(({ role }) => role !== 'forget'), ...forgotten.inputs]
  const spec = { out, stage, behaviour, identity, kind, terms, inputs, force: true }
  let removed = 0
  await writeArtifact(spec, log, async write => {
    const gone = new Set<string>()
    for (const name of Object.keys(manifest.tables)) {
      const table = tableOf(artifact, name)
      for await (const row of artifact.rows(table)) {
        const kept = cleaned(row, forgotten)
        if (kept) await write.append(table, kept)
        else {
          removed++
          // Items are what the ledger counts: faces where there are any, otherwise clips.
          gone.add(textOf(row, 'faceId') || textOf(row, 'tripletId') || textOf(row, 'clipId'))
        }
      }
    }
    const count = Math.min(gone.size, ledger.outputs)
    write.accept(ledger.outputs - count)
    for (const [code, reject] of Object.entries(ledger.rejects)) {
      const known = forgotten.faces.has(reject.example)
      write.reject(code, known ? 'forgotten' : reject.example, reject.count)
    }
    if (count > 0) write.reject('forgotten', 'listed in forget.txt', count)
    write.describe({ ...metadata, ...forgotten.metadata })
    await write.done('rewritten', ledger.inputs)
  })
  return removed
}

/** Takes clips and faces out of everything that was made of them. */
const forget = defineStage({
  name: 'data forget',
  summary: 'clips and faces out of artifacts, pages, work folders and caches; lists trained models',
  behaviour: 1,
  options: {
    list: path('forget.txt: a line is the digest of a clip or the id of a face'),
    root: optionalPath('folder with the artifacts', '.artifacts'),
    cache: optionalPath('cache of Nx, which is emptied', '.nx/cache'),
    models: optionalPath('folder with exported models besides those below root'),
  },
  async run({ list, root, cache, models }, { log, checkpoint }) {
    const forgotten = await openForgotten(list)
    const { artifacts, workFolders, exports, files } = await findArtifacts(root)
    const isTrace = openTraces(forgotten)
    const others = models ? (await findArtifacts(models)).exports : []
    for (const work of workFolders) {
      // Refused while a run is writing there.
      const unlock = await takeLock(work)
      await rm(work, { recursive: true, force: true })
      await unlock()
      log.event('removed', { path: work, reason: 'unfinished work may hold faces' })
    }
    if (cache) await rm(cache, { recursive: true, force: true })
    const holding: Artifact[] = []
    for (const artifact of artifacts) {
      checkpoint()
      if ((await holds(artifact, forgotten)) || (await isNamedIn(artifact, isTrace)))
        holding.push(artifact)
    }
    const madeFrom = (isSource: (artifact: Artifact) => boolean) =>
      descendantsOf(artifacts, new Set(holding.filter(isSource).map(({ digest }) => digest)))
    // Of a checkpoint that trained on a face only further checkpoints remember something: a report
    // that was made since the faces went shows none of it.
    const made = [
      ...madeFrom(artifact => !isCheckpoint(artifact)),
      ...madeFrom(isCheckpoint).filter(isCheckpoint),
    ]
    for (const artifact of new Set([...holding, ...made, ...stalePagesOf(artifacts)])) {
      const { path: place, manifest } = artifact
      const { stage, files } = manifest
      if (isCheckpoint(artifact)) {
        // Its table keeps the ids: without them it could not be named again until it is replaced.
        const faces = await trainedOn(artifact, forgotten)
        const fields = { path: place, stage, faces }
        log.warn('was trained on what is forgotten; train it again', fields)
        for (const { path, checkpoint } of [...exports, ...others])
          if (checkpoint === artifact.digest)
            log.warn('was exported from such a checkpoint; export it again', { path, from: place })
      } else if (files.length > 0) {
        // A page or report shows or counts faces in ways that no table tells.
        await rm(place, { recursive: true, force: true })
        log.event('removed', { path: place, stage, remedy: `npx deepfever ${stage}` })
      } else if (holding.includes(artifact)) {
        const rows = await rewrite(artifact, forgotten, log)
        log.event('forgotten', { path: place, stage, rows })
      }
    }
    if (holding.length > 0) nameUnknown(artifacts, new Set([...holding, ...made]), log)
    for (const path of files) {
      checkpoint()
      if (resolve(path) !== resolve(list) && (await isTrace(path))) await removeFeatures(path, log)
    }
    const { clips, faces } = forgotten
    log.event('done', { clips: clips.size, faces: faces.size, artifacts: holding.length })
  },
})

/** The stages of this room, for the command line. */
export const stages = [forget]
