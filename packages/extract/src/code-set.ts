import { FormatError, type Log, type Work } from '@deepfever/core'
import { codes as codeTable, openArtifact, writeArtifact, type Manifest } from '@deepfever/formats'
import {
  decodeCodebook,
  encodeCodebook,
  encodeVectors,
  searchCodes,
  trainCodebook,
  type Codebook,
} from '@deepfever/models'
import { searchVectors, type Hit } from './nearest.ts'
import type { NamedVectors } from './vector-set.ts'

/** Embeddings as product codes, with their ids. */
export interface CodeSet {
  readonly ids: readonly string[]
  readonly codebook: Codebook
  /** [rows, parts] */
  readonly codes: Uint8Array
}

const BOOK = 'codebook.safetensors'

/**
 * Codes of a features file, by a given codebook or by one that is learned from the file.
 *
 * @throws UsageError when the bytes do not divide the width of the embeddings
 */
export async function encodeSet(
  { ids, values, width }: NamedVectors,
  { parts, seed, given }: { parts: number; seed: number; given: Codebook | undefined },
): Promise<CodeSet> {
  const codebook = given ?? (await trainCodebook(values, width, { parts, seed }))
  return { ids, codebook, codes: await encodeVectors(codebook, values) }
}

/** Keeps codes as an artifact: the table of codes, and codebook.safetensors. */
export const saveCodes = (
  { ids, codebook, codes }: CodeSet,
  { out, work, inputs }: { out: string; work: Work; inputs: Manifest['inputs'] },
  log: Log,
): Promise<Manifest> =>
  writeArtifact({ ...work, kind: 'codes', inputs, out }, log, async write => {
    const { parts } = codebook
    await write.file(BOOK, encodeCodebook(codebook))
    for (const [row, faceId] of ids.entries())
      await write.append(codeTable, {
        faceId,
        code: codes.subarray(row * parts, (row + 1) * parts),
      })
    write.describe({ width: codebook.width, bytes: parts })
    write.accept(ids.length)
    await write.done('codes', ids.length)
  })

/** The codebook of a codes artifact. */
export async function loadCodebook(path: string): Promise<Codebook> {
  return decodeCodebook(await (await openArtifact(path, 'codes')).file(BOOK), `${path}/${BOOK}`)
}

/** @throws FormatError when codes and codebook do not belong together */
export async function loadCodes(path: string): Promise<CodeSet> {
  const artifact = await openArtifact(path, 'codes')
  const codebook = await loadCodebook(path)
  const { parts, levels } = codebook
  const ids: string[] = []
  const codes = new Uint8Array((artifact.manifest.tables[codeTable.name]?.rows ?? 0) * parts)
  for await (const { faceId, code } of artifact.rows(codeTable)) {
    if (code.length !== parts || code.some(level => level >= levels))
      throw new FormatError(
        `${path}: the code of ${faceId} has ${code.length} bytes up to ${Math.max(...code)}, wanted ${parts} below ${levels}`,
        { path, found: code.length, wanted: parts },
      )
    codes.set(code, ids.length * parts)
    ids.push(faceId)
  }
  return { ids, codebook, codes }
}

/** Comparisons that a recall may cost. */
const MOST = 10_000_000

/**
 * Which share of the `k` nearest rows by exact cosine a search on codes finds, over queries spread
 * over the rows (100, fewer of very many rows); a row does not count as found by itself.
 */
export function measureRecall(
  set: NamedVectors,
  { codebook, codes }: CodeSet,
  k: number,
): { recall: number; queries: number } {
  const { ids, width, values } = set
  const queries = Math.min(ids.length, 100, Math.max(1, Math.floor(MOST / ids.length)))
  let [found, wanted] = [0, 0]
  for (let i = 0; i < queries; i++) {
    const row = Math.floor((i * ids.length) / queries)
    const query = values.subarray(row * width, (row + 1) * width)
    const others = (hits: readonly Hit[]) =>
      hits
        .map(hit => hit.row)
        .filter(other => other !== row)
        .slice(0, k)
    const exact = others(searchVectors(set, query, k + 1))
    const coded = new Set(others(searchCodes(codebook, codes, query, k + 1)))
    wanted += exact.length
    found += exact.filter(other => coded.has(other)).length
  }
  return { recall: wanted > 0 ? found / wanted : 1, queries }
}
