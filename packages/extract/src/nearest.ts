/** A row that was found. */
export interface Hit {
  readonly row: number
  readonly cosine: number
}

/** Vectors of one width, with their lengths: what is searched. */
export interface VectorSet {
  readonly width: number
  /** [rows, width] */
  readonly values: Float32Array
  /** 1 / Euclidean length of each row; 0 for a row of zeros */
  readonly inverses: Float32Array
}

/** Rows whose products are made before any of them is ranked. */
const BLOCK = 4096

/** Measures the rows of a matrix once, for many searches. */
export function toVectorSet(values: Float32Array, width: number): VectorSet {
  const inverses = new Float32Array(values.length / width)
  for (let row = 0; row < inverses.length; row++) {
    let square = 0
    for (let i = row * width; i < (row + 1) * width; i++) square += values[i]! * values[i]!
    inverses[row] = square > 0 ? 1 / Math.sqrt(square) : 0
  }
  return { width, values, inverses }
}

/**
 * The `k` rows of largest cosine with `query`, best first, equal ones by row; every row is
 * compared.
 */
export function searchVectors(
  { width, values, inverses }: VectorSet,
  query: Float32Array,
  k: number,
): Hit[] {
  const { inverses: own } = toVectorSet(query, width)
  const hits: Hit[] = []
  const cosines = new Float64Array(BLOCK)
  for (let first = 0; first < inverses.length; first += BLOCK) {
    const size = Math.min(BLOCK, inverses.length - first)
    for (let i = 0; i < size; i++)
      cosines[i] = dot(values, (first + i) * width, query) * inverses[first + i]! * own[0]!
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
function dot(values: Float32Array, at: number, query: Float32Array): number {
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
