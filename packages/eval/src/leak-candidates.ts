import { nearestViews, type Neighbours, type UnitRows } from './neighbours.ts'
import { bitCount } from './picture-hash.ts'
import { ROUGHLY } from './picture-likeness.ts'
import type { Signatures } from './picture-signatures.ts'
import { THUMB_WIDTH, roughOf, thumbBlock, type ThumbView } from './picture-thumbs.ts'
import { dot } from './square.ts'

/** Hashes this near are compared as pictures, and thumbnails this alike. */
const NEAR_BITS = 8
const NEAR_THUMBS = 0.8
/** Candidates of one test face by either: bounds the work where many pictures are alike. */
const MOST = 20
/** Thumbnails are whole numbers: their rough pictures may be off by so much. */
const ROUNDING = 0.02

/** A test face and a training face that may show the same picture. */
export interface Candidate {
  readonly test: number
  readonly train: number
  /** bits of the hash that differ, mirrored or not */
  readonly bits: number
}

/**
 * Pairs that are worth comparing as pictures: by perceptual hash, by thumbnail, and by embedding
 * where there is one. In order of test faces, the likeliest of each first.
 */
export async function findCandidates(
  train: Signatures,
  test: Signatures,
  neighbours: Neighbours | undefined,
): Promise<Candidate[]> {
  const alike = await nearestViews(thumbRows(train, keyViews), thumbRows(test, queryViews), MOST)
  const words = splitWords(train.hashes)
  const candidates: Candidate[] = []
  for (let row = 0; row < test.count; row++) {
    const hash = test.hashes.subarray(row * 4, row * 4 + 4)
    if (!hash.some(word => word !== 0)) continue
    const near = new Set(nearBits(words, hash))
    for (let at = row * alike.k; at < (row + 1) * alike.k; at++)
      if (alike.cosines[at]! >= NEAR_THUMBS) near.add(alike.rows[at]!)
    if (neighbours)
      for (let at = row * neighbours.k; at < (row + 1) * neighbours.k; at++)
        near.add(neighbours.rows[at]!)
    const roughs = [false, true].map(mirrored => roughOf(test.thumbs, row, mirrored))
    const own = [...near]
      .filter(other => {
        const rough = roughOf(train.thumbs, other, false)
        return roughs.some(one => dot(one, rough) >= ROUGHLY - ROUNDING)
      })
      .map(other => ({ test: row, train: other, bits: bitsApart(words, other, hash) }))
    // The likeliest first: a certain one spares the others.
    candidates.push(...own.sort((a, b) => a.bits - b.bits || a.train - b.train))
  }
  return candidates
}

/** Either picture may be the middle of the other, or of its mirror image. */
const keyViews: readonly ThumbView[] = [
  { part: 'inner', mirrored: false },
  { part: 'whole', mirrored: false },
  { part: 'inner', mirrored: false },
  { part: 'whole', mirrored: false },
]
const queryViews: readonly ThumbView[] = [
  { part: 'whole', mirrored: false },
  { part: 'inner', mirrored: false },
  { part: 'whole', mirrored: true },
  { part: 'inner', mirrored: true },
]

const thumbRows = ({ count, thumbs }: Signatures, views: readonly ThumbView[]): UnitRows => ({
  ...{ count, width: THUMB_WIDTH },
  block: (first, last) => views.map(view => thumbBlock(thumbs, first, last, view)),
})

/** The hashes of upright pictures, each half in a row. */
interface Words {
  readonly high: Int32Array
  readonly low: Int32Array
}

const splitWords = (hashes: Uint32Array): Words => ({
  high: Int32Array.from({ length: hashes.length / 4 }, (_, row) => hashes[row * 4]!),
  low: Int32Array.from({ length: hashes.length / 4 }, (_, row) => hashes[row * 4 + 1]!),
})

/** Training rows of the nearest hashes, theirs or their mirror image's. */
function nearBits({ high, low }: Words, words: Uint32Array): number[] {
  const [a, b, c, d] = [words[0]! | 0, words[1]! | 0, words[2]! | 0, words[3]! | 0]
  const near: { readonly row: number; readonly bits: number }[] = []
  for (let row = 0; row < high.length; row++) {
    const [one, two] = [high[row]!, low[row]!]
    const upright = bitCount(one ^ a)
    const mirrored = bitCount(one ^ c)
    if (upright > NEAR_BITS && mirrored > NEAR_BITS) continue
    const bits = Math.min(upright + bitCount(two ^ b), mirrored + bitCount(two ^ d))
    if (bits <= NEAR_BITS && (one !== 0 || two !== 0)) near.push({ row, bits })
  }
  near.sort((one, other) => one.bits - other.bits || one.row - other.row)
  return near.slice(0, MOST).map(({ row }) => row)
}

function bitsApart({ high, low }: Words, row: number, words: Uint32Array): number {
  const [one, two] = [high[row]!, low[row]!]
  return Math.min(
    bitCount(one ^ words[0]!) + bitCount(two ^ words[1]!),
    bitCount(one ^ words[2]!) + bitCount(two ^ words[3]!),
  )
}
