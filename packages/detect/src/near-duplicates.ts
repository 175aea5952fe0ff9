/** Bytes of a signature: 128 bits. */
const BYTES = 16
const WORDS = BYTES / 4
/** Bands of 16 bits: signatures that differ in fewer bits than there are bands share a whole one. */
const BANDS = 8
const BAND_SIZE = 2 ** 16

/** Largest distance the index can find, in bits. */
export const MAX_DISTANCE = BANDS - 1

function bitsOf(value: number): number {
  let v = value - ((value >>> 1) & 0x55555555)
  v = (v & 0x33333333) + ((v >>> 2) & 0x33333333)
  return Math.imul((v + (v >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24
}

/** Signatures to be found again by others that differ in few bits. */
export interface SignatureIndex {
  /** Whether one of the indexed signatures is at most `distance` bits away. */
  has(signature: Uint8Array): boolean
  add(signature: Uint8Array): void
}

/**
 * An index over at most `capacity` signatures of 128 bits: 48 bytes each, in typed arrays (multi-
 * index hashing, Norouzi et al. 2012). Answers are exact.
 *
 * @param distance bits, at most MAX_DISTANCE
 */
export function openSignatureIndex(capacity: number, distance: number): SignatureIndex {
  const words = new Int32Array(capacity * WORDS)
  const heads = new Int32Array(BANDS * BAND_SIZE).fill(-1)
  const next = new Int32Array(BANDS * capacity)
  let count = 0
  const bandOf = (signature: Uint8Array, band: number) =>
    band * BAND_SIZE + (signature[2 * band]! | (signature[2 * band + 1]! << 8))
  const read = (signature: Uint8Array) => {
    const view = new DataView(signature.buffer, signature.byteOffset, BYTES)
    return Int32Array.from({ length: WORDS }, (_, i) => view.getInt32(4 * i, true))
  }
  return {
    has(signature) {
      const wanted = read(signature)
      for (let band = 0; band < BANDS; band++)
        for (let i = heads[bandOf(signature, band)]!; i >= 0; i = next[band * capacity + i]!) {
          let bits = 0
          for (let k = 0; k < WORDS; k++) bits += bitsOf(words[i * WORDS + k]! ^ wanted[k]!)
          if (bits <= distance) return true
        }
      return false
    },
    add(signature) {
      words.set(read(signature), count * WORDS)
      for (let band = 0; band < BANDS; band++) {
        const head = bandOf(signature, band)
        next[band * capacity + count] = heads[head]!
        heads[head] = count
      }
      count++
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
  const index = openSignatureIndex(count, distance)
  for (const i of order) {
    const signature = signatures.subarray(i * BYTES, (i + 1) * BYTES)
    if (index.has(signature)) continue
    index.add(signature)
    kept[i] = 1
  }
  return kept
}
