import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import {
  FormatError,
  commonOptions,
  defineStage,
  messageOf,
  optionalPath,
  path,
} from '@deepfever/core'
import { openArtifact, sha256, writeArtifact } from '@deepfever/formats'
import { decodeIndex, encodeIndex, indexFolder, type SeenFile } from '../raw-index.ts'
import { corpora, indexFile, type Corpus, type Roots } from '../source.ts'

/** Folders named in a paths file: {"affectnet": "/data/AffectNet"}. */
async function readPaths(file: string): Promise<Roots> {
  if (!file || !existsSync(file)) return {}
  let value: unknown
  try {
    value = JSON.parse(await readFile(file, 'utf8'))
  } catch (thrown) {
    throw new FormatError(`${file}: not JSON: ${messageOf(thrown)}`, { file }, thrown)
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new FormatError(
      `${file}: found ${JSON.stringify(value)}, wanted an object like {"affectnet": "/data/AffectNet"}`,
      { file, found: value },
    )
  for (const [name, root] of Object.entries(value))
    if (!corpora.includes(name as Corpus) || typeof root !== 'string')
      throw new FormatError(
        `${file}: found ${name}: ${JSON.stringify(root)}, wanted the path of one of ${corpora.join(', ')}`,
        { file, found: name, wanted: corpora },
      )
  return value as Roots
}

async function readPrevious(out: string, corpus: Corpus): Promise<SeenFile[]> {
  try {
    const artifact = await openArtifact(out, 'index')
    const name = indexFile(corpus)
    if (!artifact.manifest.files.some(file => file.name === name)) return []
    return decodeIndex(await artifact.file(name), `${out}/${name}`)
  } catch (thrown) {
    // A missing or damaged index only costs reading everything again.
    if (thrown instanceof FormatError) return []
    throw thrown
  }
}

/** Lists the raw folders; later stages read this list, and nothing hashes raw data twice. */
export const indexStage = defineStage({
  name: 'datasets index',
  summary: 'paths, sizes and digests of the raw data; reads only what changed',
  behaviour: 1,
  options: {
    ...commonOptions,
    root: optionalPath(`folder with ${corpora.join(', ')} in it`, 'datasets/raw'),
    paths: optionalPath('JSON file that names other places: {"affectnet": "/data/AffectNet"}'),
    out: path('where the index artifact goes'),
  },
  async run({ root, paths, out, force }, { log, work }) {
    const named = await readPaths(paths)
    const roots: Partial<Record<Corpus, string>> = {}
    const files: Partial<Record<Corpus, string>> = {}
    const refused: string[] = []
    let count = 0
    for (const corpus of corpora) {
      const place = named[corpus] ?? join(root, corpus)
      if (named[corpus] === undefined && !existsSync(place)) {
        log.event('absent', { corpus, looked: place })
        continue
      }
      const index = await indexFolder(place, force ? [] : await readPrevious(out, corpus), log)
      roots[corpus] = place
      files[corpus] = encodeIndex(index.files)
      refused.push(...index.refused.map(path => `${corpus}/${path}`))
      count += index.files.length
    }
    const inputs = Object.entries(files).map(([role, text]) => ({ role, digest: sha256(text) }))
    // The places belong to the result: data that moved needs a new index, though equal in content.
    const identity = { roots: JSON.stringify(roots), refused: refused.length }
    const spec = { ...work, identity, kind: 'index', inputs, out, force }
    return writeArtifact(spec, log, async write => {
      for (const corpus of corpora)
        if (files[corpus] !== undefined) await write.file(indexFile(corpus), files[corpus])
      write.describe({ roots })
      write.accept(count)
      for (const path of refused) write.reject('not_a_file_inside', path)
      await write.done('index', count + refused.length)
    })
  },
})
