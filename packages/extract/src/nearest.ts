import { toVectorSet, type VectorSet } from './vector-set.ts'

/** A row that was found. */
export interface Hit {
  readonly row: number
  readonly cosine: number
}

/** Rows whose products are made before any of them is ranked. */
const BLOCK = 4096

/**
 * The `k` rows of largest cosine with `query`, best first, equal ones by row; every row is
 * compared, in float64.
 */
export function searchVectors(
  { width, values, inverses }: VectorSet,
  query: Float32Array,
  k: number,
): Hit[] {
  const own = toVectorSet(query, width).inverses[0]!
  const wide = Float64Array.from(query)
  const hits: Hit[] = []
  const cosines = new Float64Array(BLOCK)
  for (let first = 0; first < inverses.length; first += BLOCK) {
    const size = Math.min(BLOCK, inverses.length - first)
    for (let i = 0; i < size; i++)
      cosines[i] = dot(values, (first + i) * width, wide) * inverses[first + i]! * own
    for (let i = 0; i < size; i++) {
      const cosine = cosines[i]!
      if (hits.length === k && cosine <= hits[k - 1]!.cosine) continue
      let place = hits.length
      while (place > 0 && hits[place - 1]!.cosine < cosine) place--
      hits.splice(place, 0, { row: first + i, cosine })
      if (hits.length > k) hits.pop()
    }
  }
  return hits
}

/** Four sums at once: one would wait for its own last addition. */
function dot(values: Float32Array, at: number, query: Float64Array): number {
  const width = query.length
  const even = width - (width % 4)
  let [a, b, c, d] = [0, 0, 0, 0]
  for (let i = 0; i < even; i += 4) {
    a += values[at + i]! * query[i]!
    b += values[at + i + 1]! * query[i + 1]!
    c += values[at + i + 2]! * query[i + 2]!
    d += values[at + i + 3]! * query[i + 3]!
  }
  for (let i = even; i < width; i++) a += values[at + i]! * query[i]!
  return a + b + (c + d)
}
