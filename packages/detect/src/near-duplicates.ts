/** Bytes of a signature: 128 bits. */
const BYTES = 16
const WORDS = BYTES / 4

/** Largest distance the index can find, in bits. */
export const MAX_DISTANCE = 7

function bitsOf(value: number): number {
  let v = value - ((value >>> 1) & 0x55555555)
  v = (v & 0x33333333) + ((v >>> 2) & 0x33333333)
  return Math.imul((v + (v >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24
}

/**
 * The bits of a signature dealt out to `bands`, as masks of its words. Neighbouring bits, which
 * are often equal, go to different bands, so that each says as much as it can.
 */
function dealBits(bands: number): Int32Array {
  const masks = new Int32Array(bands * WORDS)
  for (let bit = 0; bit < 8 * BYTES; bit++)
    masks[(bit % bands) * WORDS + (bit >> 5)]! |= 1 << (bit & 31)
  return masks
}

/** Signatures that were added, to be found by others that differ in few bits. */
interface SignatureIndex {
  /** Whether one that was added is at most `distance` bits away from signature `i`. */
  has(i: number): boolean
  add(i: number): void
}

/**
 * An index over `signatures` (128 bits each) in typed arrays: bands x 24 to 32 bytes each.
 * Signatures that differ in fewer bits than there are bands have a whole band in common, so one
 * hash table a band finds them (multi-index hashing, Norouzi et al. 2012). Answers are exact.
 *
 * Room for every signature is laid out before, bucket by bucket, so that what has to be compared
 * lies together: with a million of them, memory that is far away costs more than all the bits.
 */
function openSignatureIndex(signatures: Uint8Array, distance: number): SignatureIndex {
  const count = signatures.length / BYTES
  const bands = distance + 1
  const masks = dealBits(bands)
  const tableBits = Math.max(1, Math.ceil(Math.log2(count)))
  const places = bands << tableBits
  // A copy, since a view of 4-byte words need not fit the bytes' place.
  const words = new Int32Array(signatures.slice().buffer)
  /** Bucket of a band of signature `i`, by a hash of its bits. */
  const placeOf = (i: number, band: number) => {
    let hash = 0
    for (let k = 0; k < WORDS; k++) {
      hash = Math.imul(hash ^ (words[i * WORDS + k]! & masks[band * WORDS + k]!), 0x9e3779b1)
      hash ^= hash >>> 15
    }
    return (band << tableBits) + (Math.imul(hash, 0x85ebca6b) >>> (32 - tableBits))
  }
  // Two numbers a bucket beside each other: where it starts, and how many it holds.
  const buckets = new Uint32Array(2 * places)
  for (let i = 0; i < count; i++)
    for (let band = 0; band < bands; band++) buckets[2 * placeOf(i, band)]!++
  for (let place = 0, start = 0; place < places; place++) {
    const size = buckets[2 * place]!
    buckets[2 * place] = start
    start += size
  }
  const held = new Int32Array(bands * count * WORDS)
  return {
    has(i) {
      const from = i * WORDS
      const [a, b, c, d] = [words[from]!, words[from + 1]!, words[from + 2]!, words[from + 3]!]
      for (let band = 0; band < bands; band++) {
        const place = 2 * placeOf(i, band)
        const end = WORDS * (buckets[place]! + buckets[place + 1]!)
        for (let at = WORDS * buckets[place]!; at < end; at += WORDS) {
          const low = bitsOf(held[at]! ^ a) + bitsOf(held[at + 1]! ^ b)
          if (low + bitsOf(held[at + 2]! ^ c) + bitsOf(held[at + 3]! ^ d) <= distance) return true
        }
      }
      return false
    },
    add(i) {
      for (let band = 0; band < bands; band++) {
        const place = 2 * placeOf(i, band)
        const at = WORDS * (buckets[place]! + buckets[place + 1]!++)
        for (let k = 0; k < WORDS; k++) held[at + k] = words[i * WORDS + k]!
      }
    },
  }
}

/** What decides which of several near faces stays. */
export interface RankedFaces {
  readonly faceIds: readonly string[]
  readonly sharpness: Float32Array
  /** 16 bytes a face */
  readonly signatures: Uint8Array
}

/**
 * Marks the faces that stay: from the sharpest on (equal ones by id), each that is more than
 * `distance` bits from all that stayed before it.
 *
 * @param distance bits, at most MAX_DISTANCE
 * @returns 1 for each face that stays
 */
export function withoutNearDuplicates(
  { faceIds, sharpness, signatures }: RankedFaces,
  distance: number,
): Uint8Array {
  const count = faceIds.length
  const order = Uint32Array.from({ length: count }, (_, i) => i).sort(
    (a, b) => sharpness[b]! - sharpness[a]! || (faceIds[a]! < faceIds[b]! ? -1 : 1),
  )
  const kept = new Uint8Array(count)
  const index = openSignatureIndex(signatures, distance)
  for (const i of order) {
    if (index.has(i)) continue
    index.add(i)
    kept[i] = 1
  }
  return kept
}
