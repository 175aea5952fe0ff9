import { openSession, writeOnnxModel } from '@deepfever/runtime/onnx'
import type { LabelledFeatures } from './softmax-loss.ts'

/** The nearest rows by cosine, nearest first. */
export interface Neighbours {
  /** for each query */
  readonly k: number
  /** int32 [queries, k] */
  readonly rows: Int32Array
  /** cosine, float32 [queries, k] */
  readonly cosines: Float32Array
}

/** Rows compared at once: bounds the memory of their products. */
const BLOCK = 1024
/** Queries compared at once, for the same reason. */
const QUERIES = 4096

/**
 * The `k` rows of `keys` of largest cosine to each query, by exact search; the matrix products run
 * on one thread, so the same input gives the same bits.
 *
 * @param keys float32 [n, width]
 * @param queries float32 [m, width]
 */
export async function nearestRows(
  keys: Float32Array,
  queries: Float32Array,
  width: number,
  k: number,
): Promise<Neighbours> {
  const count = queries.length / width
  const most = Math.min(k, keys.length / width)
  const rows = new Int32Array(count * most)
  const cosines = new Float32Array(count * most).fill(-Infinity)
  for (let first = 0; first < count; first += QUERIES) {
    const last = Math.min(count, first + QUERIES)
    const part = normalise(queries.subarray(first * width, last * width), width)
    const found = { rows: rows.subarray(first * most), cosines: cosines.subarray(first * most) }
    await searchBlock(keys, part, width, most, found)
  }
  return { k: most, rows, cosines }
}

async function searchBlock(
  keys: Float32Array,
  queries: Float32Array,
  width: number,
  k: number,
  { rows, cosines }: Pick<Neighbours, 'rows' | 'cosines'>,
): Promise<void> {
  const count = queries.length / width
  const session = await openSession<'cosines'>(productModel(queries, width), { threads: 1 })
  try {
    const total = keys.length / width
    for (let first = 0; first < total; first += BLOCK) {
      const size = Math.min(BLOCK, total - first)
      const values = normalise(keys.subarray(first * width, (first + size) * width), width)
      const { cosines: found } = await session.run({ keys: { shape: [size, width], values } })
      for (let query = 0; query < count; query++)
        for (let row = 0; row < size; row++) {
          const cosine = found.values[row * count + query]!
          // Strictly above: of equals the first row stays.
          if (cosine > cosines[query * k + k - 1]!)
            insert(rows, cosines, query * k, k, first + row, cosine)
        }
    }
  } finally {
    await session.close()
  }
}

function insert(
  rows: Int32Array,
  cosines: Float32Array,
  from: number,
  k: number,
  row: number,
  cosine: number,
): void {
  let at = from + k - 1
  while (at > from && cosines[at - 1]! < cosine) {
    cosines[at] = cosines[at - 1]!
    rows[at] = rows[at - 1]!
    at--
  }
  cosines[at] = cosine
  rows[at] = row
}

/** keys [n, width] times the queries as a constant [width, m]. */
function productModel(queries: Float32Array, width: number): Uint8Array {
  const count = queries.length / width
  const transposed = new Float32Array(queries.length)
  for (let i = 0; i < count; i++)
    for (let j = 0; j < width; j++) transposed[j * count + i] = queries[i * width + j]!
  return writeOnnxModel({
    name: 'cosines',
    inputs: [{ name: 'keys', type: 'float32', shape: ['n', width] }],
    outputs: [{ name: 'cosines', type: 'float32', shape: ['n', count] }],
    constants: [{ name: 'queries', shape: [width, count], values: transposed }],
    nodes: [{ op: 'MatMul', inputs: ['keys', 'queries'], outputs: ['cosines'] }],
  })
}

/** Rows of Euclidean length 1, as float32; a row of zeros stays. */
function normalise(vectors: Float32Array, width: number): Float32Array {
  const unit = Float32Array.from(vectors)
  for (let from = 0; from < unit.length; from += width) {
    let squares = 0
    for (let j = from; j < from + width; j++) squares += unit[j]! * unit[j]!
    const norm = Math.max(1e-12, Math.sqrt(squares))
    for (let j = from; j < from + width; j++) unit[j]! /= norm
  }
  return unit
}

/**
 * The class that most of the nearest rows have; of equals that of the nearest.
 *
 * @returns int32 [queries]
 */
export function voteOf({ k, rows }: Neighbours, { labels }: LabelledFeatures): Int32Array {
  return Int32Array.from({ length: rows.length / k }, (_, query) => {
    const votes = new Map<number, number>()
    for (let i = 0; i < k; i++) {
      const label = labels[rows[query * k + i]!]!
      votes.set(label, (votes.get(label) ?? 0) + 1)
    }
    // A map keeps the order of arrival, and `>` the first of equals.
    let [best, most] = [-1, 0]
    for (const [label, count] of votes) if (count > most) [best, most] = [label, count]
    return best
  })
}
