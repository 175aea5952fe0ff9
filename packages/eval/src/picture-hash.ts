import type { Picture } from '@deepfever/media'

/** Side of the pictures of the leakage gate: hashed, made smaller and compared at this size. */
export const PICTURE_SIDE = 48
/** Frequencies a side that make the hash. */
const LOW = 8

/** Rows are frequencies 0 to 7, columns pixels: the orthogonal DCT-II without its scale. */
const waves = Float64Array.from({ length: LOW * PICTURE_SIDE }, (_, at) => {
  const [frequency, x] = [Math.floor(at / PICTURE_SIDE), at % PICTURE_SIDE]
  return Math.cos((Math.PI * frequency * (2 * x + 1)) / (2 * PICTURE_SIDE))
})

/** Luminance (Rec. 601) of a picture, 0 to 255. */
export function toGrey({ data, width, height }: Picture): Float32Array {
  return Float32Array.from(
    { length: width * height },
    (_, i) => 0.299 * data[3 * i]! + 0.587 * data[3 * i + 1]! + 0.114 * data[3 * i + 2]!,
  )
}

/** The 64-bit hash of a picture and of its mirror image, as four words. */
export type PictureHash = readonly [
  high: number,
  low: number,
  mirrorHigh: number,
  mirrorLow: number,
]

/**
 * Perceptual hash: which of the 63 lowest frequencies lie above their median; one bit is spare. Light,
 * size and JPEG loss hardly change it; Hamming distance measures how far two pictures are apart.
 *
 * @param grey 48 x 48 luminance
 */
export function hashOf(grey: Float32Array): PictureHash {
  const rows = new Float64Array(PICTURE_SIDE * LOW)
  for (let y = 0; y < PICTURE_SIDE; y++)
    for (let u = 0; u < LOW; u++) {
      let sum = 0
      for (let x = 0; x < PICTURE_SIDE; x++)
        sum += grey[y * PICTURE_SIDE + x]! * waves[u * PICTURE_SIDE + x]!
      rows[y * LOW + u] = sum
    }
  const low = new Float64Array(LOW * LOW)
  for (let v = 0; v < LOW; v++)
    for (let u = 0; u < LOW; u++) {
      let sum = 0
      for (let y = 0; y < PICTURE_SIDE; y++)
        sum += rows[y * LOW + u]! * waves[v * PICTURE_SIDE + y]!
      low[v * LOW + u] = sum
    }
  // A mirror image has the opposite sign in every odd horizontal frequency.
  const mirrored = low.map((value, at) => (at % 2 === 1 ? -value : value))
  return [...bitsOf(low), ...bitsOf(mirrored)] as unknown as PictureHash
}

function bitsOf(low: Float64Array): [number, number] {
  const sorted = low.slice(1).sort()
  const median = sorted[31]!
  const words: [number, number] = [0, 0]
  for (let at = 1; at < 64; at++) if (low[at]! > median) words[at >> 5]! |= 1 << (at & 31)
  return [words[0] >>> 0, words[1] >>> 0]
}

/** Bits set in a 32-bit word. */
export function bitCount(word: number): number {
  const pairs = word - ((word >>> 1) & 0x55555555)
  const fours = (pairs & 0x33333333) + ((pairs >>> 2) & 0x33333333)
  return Math.imul((fours + (fours >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24
}
