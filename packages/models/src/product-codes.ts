import { ShapeError, UsageError, openRandom } from '@deepfever/core'
import { openCentreSearch, type CentreSearch } from './nearest-centre.ts'

/** Values of one byte. */
const LEVELS = 256
/** More rows do not move 256 centres by much; k-means reads every one of them in every round. */
const MOST_ROWS = 20_000
const ROUNDS = 20
/** Vectors that are encoded at once. */
const BLOCK = 4096

/** Centres of every part of a vector (Jégou et al. 2011, product quantisation). */
export interface Codebook {
  /** numbers of a vector */
  readonly width: number
  /** parts of a vector, one byte each */
  readonly parts: number
  /** centres a part, at most 256 */
  readonly levels: number
  /** [parts, levels, width / parts] */
  readonly centres: Float32Array
}

/**
 * Learns a codebook by k-means, part by part, from vectors brought to unit length.
 *
 * @param vectors [rows, width]
 * @param parts bytes a vector; divides `width`
 * @throws UsageError when it does not; ShapeError when there is no row or a broken one
 */
export async function trainCodebook(
  vectors: Float32Array,
  width: number,
  { parts, seed = 1 }: { parts: number; seed?: number },
): Promise<Codebook> {
  if (!(Number.isInteger(parts) && parts > 0 && width % parts === 0))
    throw new UsageError(`${parts} parts, wanted a divisor of ${width}, the width of the vectors`, {
      found: parts,
      wanted: width,
    })
  const units = toUnits(vectors, width)
  const random = openRandom(`codes/${seed}`)
  const order = random.shuffle(Array.from({ length: units.length / width }, (_, row) => row))
  const rows = order.slice(0, MOST_ROWS)
  const levels = Math.min(LEVELS, rows.length)
  const span = width / parts
  const centres = new Float32Array(parts * levels * span)
  const search = await openCentreSearch(span)
  for (let part = 0; part < parts; part++) {
    const points = pointsOf(units, { width, span, part }, rows)
    const place = part * levels * span
    await settle(search, points, span, centres.subarray(place, place + levels * span))
  }
  await search.close()
  return { width, parts, levels, centres }
}

/** Codes of vectors, [rows, parts]. */
export async function encodeVectors(
  codebook: Codebook,
  vectors: Float32Array,
): Promise<Uint8Array> {
  const { width, parts, levels, centres } = codebook
  const span = width / parts
  const rows = rowsOf(vectors, width)
  const codes = new Uint8Array(rows * parts)
  const search = await openCentreSearch(span)
  for (let first = 0; first < rows; first += BLOCK) {
    const last = Math.min(rows, first + BLOCK)
    const units = toUnits(vectors.subarray(first * width, last * width), width, first)
    const own = Array.from({ length: last - first }, (_, row) => row)
    for (let part = 0; part < parts; part++) {
      const from = part * levels * span
      const points = pointsOf(units, { width, span, part }, own)
      const found = await search.nearest(points, centres.subarray(from, from + levels * span))
      found.forEach((level, row) => (codes[(first + row) * parts + part] = level))
    }
  }
  await search.close()
  return codes
}

/** One part of the rows, [rows, span]. */
function pointsOf(
  units: Float32Array,
  { width, span, part }: { width: number; span: number; part: number },
  rows: readonly number[],
): Float32Array {
  const points = new Float32Array(rows.length * span)
  rows.forEach((row, i) => {
    const at = row * width + part * span
    points.set(units.subarray(at, at + span), i * span)
  })
  return points
}

/** The vectors that codes stand for, [rows, width], near unit length. */
export function decodeVectors(codebook: Codebook, codes: Uint8Array): Float32Array {
  const { width, parts, levels, centres } = codebook
  const span = width / parts
  const vectors = new Float32Array((codes.length / parts) * width)
  codes.forEach((code, i) => {
    const from = ((i % parts) * levels + code) * span
    vectors.set(centres.subarray(from, from + span), i * span)
  })
  return vectors
}

/** A row that was found. */
export interface Hit {
  readonly row: number
  /** between the exact query and the vector that the code stands for */
  readonly cosine: number
}

/**
 * The `k` rows of largest cosine with `query`, best first, equal ones by row. Reads `parts` bytes a
 * row; the query stays exact.
 */
export function searchCodes(
  codebook: Codebook,
  codes: Uint8Array,
  query: Float32Array,
  k: number,
): Hit[] {
  const { width, parts, levels, centres } = codebook
  const span = width / parts
  const unit = toUnits(query, width)
  const dots = new Float32Array(parts * levels)
  const squares = new Float32Array(parts * levels)
  for (let i = 0; i < parts * levels; i++) {
    const at = Math.floor(i / levels) * span
    for (let d = 0; d < span; d++) {
      const centre = centres[i * span + d]!
      dots[i]! += centre * unit[at + d]!
      squares[i]! += centre * centre
    }
  }
  const hits: Hit[] = []
  for (let row = 0, at = 0; at < codes.length; row++, at += parts) {
    let dot = 0
    let square = 0
    for (let part = 0; part < parts; part++) {
      const i = part * levels + codes[at + part]!
      dot += dots[i]!
      square += squares[i]!
    }
    const cosine = square > 0 ? dot / Math.sqrt(square) : 0
    if (hits.length === k && cosine <= (hits[k - 1]?.cosine ?? Infinity)) continue
    let place = hits.length
    while (place > 0 && hits[place - 1]!.cosine < cosine) place--
    hits.splice(place, 0, { row, cosine })
    if (hits.length > k) hits.pop()
  }
  return hits
}

/** Lloyd's rounds from the first points; a centre without points stays where it is. */
async function settle(
  search: CentreSearch,
  points: Float32Array,
  span: number,
  centres: Float32Array,
): Promise<void> {
  const levels = centres.length / span
  centres.set(points.subarray(0, centres.length))
  let labels = new Uint8Array(0)
  for (let round = 0; round < ROUNDS; round++) {
    const found = await search.nearest(points, centres)
    if (found.every((level, row) => level === labels[row])) return
    labels = found as typeof labels
    const sums = new Float64Array(centres.length)
    const counts = new Int32Array(levels)
    labels.forEach((label, row) => {
      counts[label]!++
      for (let d = 0; d < span; d++) sums[label * span + d]! += points[row * span + d]!
    })
    sums.forEach((sum, i) => {
      const count = counts[Math.floor(i / span)]!
      if (count > 0) centres[i] = sum / count
    })
  }
}

function rowsOf(vectors: Float32Array, width: number): number {
  if (vectors.length > 0 && vectors.length % width === 0) return vectors.length / width
  throw new ShapeError(`${vectors.length} numbers, wanted rows of ${width}, at least one`, {
    found: vectors.length,
    wanted: width,
  })
}

/** The rows at unit length, numbered from `first` in errors; a row of zeros stays. */
function toUnits(vectors: Float32Array, width: number, first = 0): Float32Array {
  const rows = rowsOf(vectors, width)
  const units = new Float32Array(vectors.length)
  for (let row = 0, at = 0; row < rows; row++, at += width) {
    let square = 0
    for (let d = 0; d < width; d++) square += vectors[at + d]! ** 2
    if (!Number.isFinite(square))
      throw new ShapeError(`row ${first + row} holds a value that is not finite`, {
        row: first + row,
      })
    const by = square > 0 ? 1 / Math.sqrt(square) : 0
    for (let d = 0; d < width; d++) units[at + d] = vectors[at + d]! * by
  }
  return units
}
