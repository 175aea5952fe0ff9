import { FormatError } from '@deepfever/core'
import { readVectors } from '@deepfever/formats'

/** Vectors of one width, with their lengths: what is searched. */
export interface VectorSet {
  readonly width: number
  /** [rows, width] */
  readonly values: Float32Array
  /** 1 / Euclidean length of each row; 0 for a row of zeros */
  readonly inverses: Float64Array
}

/** Measures the rows of a matrix once, for many searches. */
export function toVectorSet(values: Float32Array, width: number): VectorSet {
  const inverses = new Float64Array(values.length / width)
  for (let row = 0; row < inverses.length; row++)
    inverses[row] = inverseLength(values, row * width, width)
  return { width, values, inverses }
}

/** Four sums at once: one would wait for its own last addition. */
function inverseLength(values: Float32Array, at: number, width: number): number {
  let [a, b, c, d] = [0, 0, 0, 0]
  let i = at
  for (const end = at + width - 3; i < end; i += 4) {
    a += values[i]! * values[i]!
    b += values[i + 1]! * values[i + 1]!
    c += values[i + 2]! * values[i + 2]!
    d += values[i + 3]! * values[i + 3]!
  }
  for (; i < at + width; i++) a += values[i]! * values[i]!
  const square = a + b + (c + d)
  return square > 0 ? 1 / Math.sqrt(square) : 0
}

/** The embeddings of a features file with their ids, ready to be searched. */
export interface NamedVectors extends VectorSet {
  readonly ids: readonly string[]
  /** sha256 of the file */
  readonly digest: string
}

/**
 * Loads the embeddings of a features file, .parquet or .arrow; 4 bytes a number stay in memory.
 *
 * @throws FormatError when the file has none
 */
export async function loadVectors(path: string): Promise<NamedVectors> {
  const { digest, rowCount, rows } = await readVectors(path, 'faceId', 'embedding')
  const ids: string[] = []
  let values = new Float32Array(0)
  for await (const { id, vector } of rows()) {
    if (ids.length === 0) values = new Float32Array(rowCount * vector.length)
    values.set(vector, ids.length * vector.length)
    ids.push(id)
  }
  if (ids.length === 0)
    throw new FormatError(`${path}: no face, wanted at least one`, { path, found: 0 })
  return { ids, digest, ...toVectorSet(values, values.length / ids.length) }
}
