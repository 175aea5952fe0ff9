import { openRandom } from '@deepfever/core'
import { decodeVectors, encodeVectors, trainCodebook } from '@deepfever/models'
import type { Interval } from './bootstrap.ts'
import { nearestRows } from './neighbours.ts'
import type { Measure } from './report.ts'

/** What is left of the vectors at one size. */
export interface CodePoint {
  /** bytes a face; the last point's are those of float32 at unit length, not coded */
  readonly bytes: number
  /** mean cosine between a vector and what its code gives back */
  readonly cosine: number
  /** share of the nearest by exact cosine that a search on codes finds */
  readonly recall: number
  readonly accuracy: number | null
  readonly interval: Interval | null
}

/** Bytes a face against what is judged: product codes of the vectors (Jégou et al. 2011). */
export interface CodeCurve {
  /** name of `accuracy` */
  readonly measure: string
  /** nearest rows that `recall` counts */
  readonly nearest: number
  /** rows that a codebook was learned from */
  readonly learnedFrom: number
  /** by rising bytes */
  readonly points: readonly CodePoint[]
}

/** Rows of vectors, [n, width]; `judged` are what accuracy and recall ask about. */
export interface CodedRows {
  readonly width: number
  /** searched, and what codebooks are learned from */
  readonly known: Float32Array
  /** the same rows where `known` is judged itself */
  readonly judged: Float32Array
}

const SIZES = [1, 2, 4, 8, 16, 32, 64, 128]
const NEAREST = 10
/** Queries of a recall. */
const QUERIES = 1000

/**
 * Judges the vectors again at every size that divides their width. A row is coded by a codebook
 * that was learned from other rows: known rows by the other half's, so that few rows are not known
 * by heart. Codes keep directions; all rows get the mean length of the known ones.
 */
export async function measureCodes(
  rows: CodedRows,
  seed: string,
  judge: (known: Float32Array, judged: Float32Array) => Promise<Measure> | Measure,
): Promise<CodeCurve> {
  const { width } = rows
  const exact = toUnits(rows)
  const queries = spread(exact.judged, width, QUERIES)
  const own = exact.known === exact.judged
  const neighbours = async (known: Float32Array) => {
    const k = own ? NEAREST + 1 : NEAREST
    const { rows: found, k: most } = await nearestRows(known, queries.values, width, k)
    return queries.rows.map((row, i) => {
      const near = [...found.subarray(i * most, (i + 1) * most)]
      return near.filter(other => !own || other !== row).slice(0, NEAREST)
    })
  }
  const wanted = await neighbours(exact.known)
  const points: CodePoint[] = []
  let measure = ''
  const add = async (bytes: number, { known, judged }: CodedRows) => {
    const near = await neighbours(known)
    const found = near.flatMap((list, i) => list.filter(row => wanted[i]!.includes(row)))
    const { label, value, interval } = await judge(shared(known), shared(judged))
    measure = label
    points.push({
      bytes,
      cosine: meanCosine(exact.judged, judged, width),
      recall: found.length / wanted.flat().length,
      ...{ accuracy: value, interval },
    })
  }
  for (const parts of SIZES.filter(size => width % size === 0))
    await add(parts, await throughCodes(exact, parts, seed))
  await add(4 * width, exact)
  const learnedFrom = Math.ceil(exact.known.length / width / 2)
  return { measure, nearest: NEAREST, learnedFrom, points }
}

/** Rows as their codes give them back, at the length that they had. */
async function throughCodes(rows: CodedRows, parts: number, seed: string): Promise<CodedRows> {
  const { known, judged, width } = rows
  const count = known.length / width
  const order = openRandom(`${seed}/halves`).shuffle(Array.from({ length: count }, (_, i) => i))
  const halves = [order.slice(0, Math.ceil(count / 2)), order.slice(Math.ceil(count / 2))]
  const decoded = new Float32Array(known.length)
  const length = lengthOf(known, width)
  const through = async (learned: readonly number[], coded: Float32Array) => {
    const book = await trainCodebook(pick(known, learned, width), width, { parts })
    const back = decodeVectors(book, await encodeVectors(book, coded))
    return back.map(value => value * length)
  }
  for (const [i, half] of halves.entries()) {
    const other = halves[1 - i]!
    const back = await through(other.length > 0 ? other : half, pick(known, half, width))
    half.forEach((row, at) => {
      decoded.set(back.subarray(at * width, (at + 1) * width), row * width)
    })
  }
  if (known === judged) return { width, known: decoded, judged: decoded }
  return { width, known: decoded, judged: await through(halves[0]!, judged) }
}

/** Every row at the mean length of the known ones. */
function toUnits({ known, judged, width }: CodedRows): CodedRows {
  let sum = 0
  for (let at = 0; at < known.length; at += width) sum += lengthOf(known.subarray(at), width)
  const mean = (sum * width) / known.length
  const scale = (vectors: Float32Array) => {
    const scaled = Float32Array.from(vectors)
    for (let at = 0; at < scaled.length; at += width) {
      const by = mean / (lengthOf(scaled.subarray(at), width) || 1)
      for (let i = at; i < at + width; i++) scaled[i]! *= by
    }
    return scaled
  }
  const first = scale(known)
  return { width, known: first, judged: judged === known ? first : scale(judged) }
}

function lengthOf(vector: Float32Array, width: number): number {
  let square = 0
  for (let i = 0; i < width; i++) square += vector[i]! ** 2
  return Math.sqrt(square)
}

function meanCosine(a: Float32Array, b: Float32Array, width: number): number {
  let sum = 0
  for (let at = 0; at < a.length; at += width) {
    let dot = 0
    for (let i = at; i < at + width; i++) dot += a[i]! * b[i]!
    const lengths = lengthOf(a.subarray(at), width) * lengthOf(b.subarray(at), width)
    sum += lengths > 0 ? dot / lengths : 0
  }
  return (sum * width) / a.length
}

/** At most `most` rows, evenly spread. */
function spread(vectors: Float32Array, width: number, most: number) {
  const count = vectors.length / width
  const size = Math.min(count, most)
  const rows = Array.from({ length: size }, (_, i) => Math.floor((i * count) / size))
  return { rows, values: pick(vectors, rows, width) }
}

function pick(vectors: Float32Array, rows: readonly number[], width: number): Float32Array {
  const taken = new Float32Array(rows.length * width)
  rows.forEach((row, i) => taken.set(vectors.subarray(row * width, (row + 1) * width), i * width))
  return taken
}

/** In memory that the threads of a fit can read. */
function shared(values: Float32Array): Float32Array {
  const copy = new Float32Array(new SharedArrayBuffer(values.byteLength))
  copy.set(values)
  return copy
}
