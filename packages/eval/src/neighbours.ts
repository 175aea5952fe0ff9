import { openSession, writeOnnxModel, type OnnxSession } from '@deepfever/runtime/onnx'
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

/** Rows of Euclidean length 1 that are made a block at a time, in one or several views. */
export interface UnitRows {
  readonly count: number
  readonly width: number
  /** of every view float32 [last - first, width] */
  block(first: number, last: number): readonly Float32Array[]
}

/** Keys and queries compared at once: bounds the memory of their products. */
const BLOCK = 2048

/**
 * The `k` rows of `keys` of largest cosine to each query, by exact search.
 *
 * @param keys float32 [n, width]
 * @param queries float32 [m, width]
 */
export const nearestRows = (
  keys: Float32Array,
  queries: Float32Array,
  width: number,
  k: number,
): Promise<Neighbours> => nearestViews(normalised(keys, width), normalised(queries, width), k)

const normalised = (vectors: Float32Array, width: number): UnitRows => ({
  ...{ count: vectors.length / width, width },
  block: (first, last) => [normalise(vectors.subarray(first * width, last * width), width)],
})

/**
 * The same where rows have several views: two rows are as near as their nearest views of one place
 * in the list. The products run on one thread, so the same input gives the same bits, while the
 * block before is searched.
 */
export async function nearestViews(
  keys: UnitRows,
  queries: UnitRows,
  k: number,
): Promise<Neighbours> {
  const most = Math.min(k, keys.count)
  const rows = new Int32Array(queries.count * most)
  const cosines = new Float32Array(queries.count * most).fill(-Infinity)
  const views = queries.block(0, 0).length
  const session = await openSession<'cosines'>(productModel(views, keys.width), { threads: 1 })
  try {
    let before: (() => void) | undefined
    for (let first = 0; first < queries.count; first += BLOCK) {
      const last = Math.min(queries.count, first + BLOCK)
      const part = queries.block(first, last)
      for (let from = 0; from < keys.count; from += BLOCK) {
        const to = Math.min(keys.count, from + BLOCK)
        const running = multiply(session, part, keys.block(from, to), keys.width)
        before?.()
        const found = await running
        before = () => keepNearest(found, first, from, to - from, most, rows, cosines)
      }
    }
    before?.()
  } finally {
    await session.close()
  }
  return { k: most, rows, cosines }
}

async function multiply(
  session: OnnxSession<'cosines'>,
  queries: readonly Float32Array[],
  keys: readonly Float32Array[],
  width: number,
): Promise<Float32Array> {
  const inputs = queries.flatMap((values, view) => [
    [`queries${view}`, { shape: [values.length / width, width], values }] as const,
    [`keys${view}`, { shape: [keys[view]!.length / width, width], values: keys[view]! }] as const,
  ])
  return (await session.run(Object.fromEntries(inputs))).cosines.values
}

/** Moves a block of cosines, [queries, keys], into the lists of the nearest. */
function keepNearest(
  found: Float32Array,
  firstQuery: number,
  firstKey: number,
  keys: number,
  k: number,
  rows: Int32Array,
  cosines: Float32Array,
): void {
  for (let at = 0, query = firstQuery; at < found.length; at += keys, query++) {
    const end = query * k + k - 1
    let worst = cosines[end]!
    for (let key = 0; key < keys; key++) {
      const cosine = found[at + key]!
      // Strictly above: of equals the first row stays.
      if (cosine <= worst) continue
      insert(rows, cosines, query * k, k, firstKey + key, cosine)
      worst = cosines[end]!
    }
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

/** The largest of the products of all views: queries [m, width] times keys [n, width], turned. */
function productModel(views: number, width: number): Uint8Array {
  const all = Array.from({ length: views }, (_, view) => view)
  const port = (name: string, rows: string) =>
    ({ name, type: 'float32', shape: [rows, width] }) as const
  return writeOnnxModel({
    name: 'cosines',
    inputs: all.flatMap(view => [port(`queries${view}`, 'm'), port(`keys${view}`, 'n')]),
    outputs: [{ name: 'cosines', type: 'float32', shape: ['m', 'n'] }],
    constants: [],
    nodes: [
      ...all.map(view => ({
        op: 'Gemm',
        ...{ inputs: [`queries${view}`, `keys${view}`], outputs: [`product${view}`] },
        attributes: { transB: 1 },
      })),
      { op: 'Max', inputs: all.map(view => `product${view}`), outputs: ['cosines'] },
    ],
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
