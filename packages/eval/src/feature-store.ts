import { join } from 'node:path'
import { FormatError, StageError, mapOrdered, type Context } from '@deepfever/core'
import { embeddings, openArtifact, readVectors, sha256, writeArtifact } from '@deepfever/formats'
import { codeOf, type Picture } from '@deepfever/media'
import type { Extractor } from '@deepfever/models'
import type { FaceEntry, FaceSet } from './face-set.ts'

/** Vectors of faces by id, and why a face has none. */
export interface Features {
  readonly name: string
  /** names the vectors */
  readonly digest: string
  rows(): AsyncIterable<{ readonly faceId: string; readonly vector: Float32Array }>
}

/**
 * The vectors of all labelled faces, made once: they are kept under `cache` by model, data and
 * preprocessing, as an artifact that opens in pandas.
 */
export async function storeFeatures(
  faceSet: FaceSet,
  extractor: Extractor,
  cache: string,
  workers: number,
  { log, checkpoint }: Pick<Context, 'log' | 'checkpoint'>,
): Promise<Features> {
  const inputs = [
    { role: 'model', digest: extractor.digest, terms: extractor.terms },
    { role: 'faces', digest: faceSet.digest, terms: faceSet.terms },
  ]
  const { preprocessing } = extractor
  const digests = inputs.map(({ role, digest }) => ({ role, digest }))
  const key = sha256(JSON.stringify([digests, preprocessing])).slice(0, 16)
  const out = join(cache, key)
  const work = { stage: 'eval features', behaviour: 1, identity: { preprocessing } }
  await writeArtifact({ ...work, kind: 'features', inputs, out }, log, async write => {
    const bar = log.progress('embeddings', faceSet.total)
    const open = async function* () {
      for await (const block of blocksOf(faceSet.rows(), extractor.batch))
        if (write.isDone(block[0]!.faceId)) bar.advance(block.length)
        else yield block
    }
    const embedded = mapOrdered(open(), workers + 1, block => embedBlock(block, extractor))
    for await (const { block, entries, vectors, rejected } of embedded) {
      checkpoint()
      const width = vectors.length / Math.max(1, entries.length)
      for (const [i, { faceId, label, split }] of entries.entries())
        await write.append(embeddings, {
          ...{ faceId, label, split, vector: vectors.slice(i * width, (i + 1) * width) },
        })
      write.accept(entries.length)
      for (const [faceId, code] of rejected) write.reject(code, faceId)
      // Whole blocks, so that a run that goes on forms the same ones.
      await write.done(block[0]!.faceId, block.length)
      bar.advance(block.length)
    }
    bar.done()
  })
  const artifact = await openArtifact(out, 'features')
  return {
    name: extractor.name,
    digest: extractor.digest,
    rows: () =>
      artifact.manifest.tables[embeddings.name] === undefined ? none() : artifact.rows(embeddings),
  }
}

async function* none(): AsyncGenerator<never> {}

/**
 * Vectors that another program made: a Parquet file with columns `faceId` (text) and `vector` (list
 * of float32).
 *
 * @throws FormatError when the columns are not there, or an id stands in two rows
 */
export async function openFeatureFile(path: string): Promise<Features> {
  const { digest, rows } = await readVectors(path, 'faceId', 'vector')
  return {
    name: path,
    digest,
    async *rows() {
      const seen = new Set<string>()
      for await (const { id, vector } of rows()) {
        if (seen.has(id))
          throw new FormatError(
            `${path}: found ${id} in two rows, wanted one vector a face; drop the duplicates`,
            { path, found: id },
          )
        seen.add(id)
        yield { faceId: id, vector }
      }
    },
  }
}

interface EmbeddedBlock {
  readonly block: readonly FaceEntry[]
  readonly entries: readonly FaceEntry[]
  readonly vectors: Float32Array
  readonly rejected: readonly (readonly [string, string])[]
}

async function embedBlock(
  block: readonly FaceEntry[],
  extractor: Extractor,
): Promise<EmbeddedBlock> {
  const decoded = await Promise.all(block.map(entry => entry.picture(extractor.size).catch(codeOf)))
  const entries: FaceEntry[] = []
  const pictures: Picture[] = []
  const rejected: [string, string][] = []
  decoded.forEach((picture, i) => {
    const entry = block[i]!
    if (typeof picture === 'string') rejected.push([entry.faceId, picture])
    else {
      entries.push(entry)
      pictures.push(picture)
    }
  })
  const vectors = entries.length > 0 ? await extractor.embed(pictures) : new Float32Array(0)
  const stray = vectors.findIndex(value => !Number.isFinite(value))
  if (stray >= 0)
    throw new StageError(
      `${extractor.name}: the vector of ${entries[Math.floor(stray / (vectors.length / entries.length))]!.faceId} ` +
        `holds ${vectors[stray]}, wanted finite numbers; check the contract's scale and type`,
      { found: vectors[stray] },
    )
  return { block, entries, vectors, rejected }
}

async function* blocksOf(
  rows: AsyncIterable<FaceEntry>,
  size: number,
): AsyncGenerator<FaceEntry[]> {
  let block: FaceEntry[] = []
  for await (const face of rows) {
    block.push(face)
    if (block.length < size) continue
    yield block
    block = []
  }
  if (block.length > 0) yield block
}
