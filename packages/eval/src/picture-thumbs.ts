import { PICTURE_SIDE } from './picture-hash.ts'
import { cutWindow, halve, mirrorSquare, standardise } from './square.ts'

const SIDE = 12
const INNER = { scale: 0.95, x: 0.5, y: 0.5 }

/** Numbers of one thumbnail. */
export const THUMB_WIDTH = SIDE * SIDE
/** Bytes of a picture's two thumbnails. */
export const THUMB_BYTES = 2 * THUMB_WIDTH

/**
 * Two thumbnails of a picture, 12 x 12: the whole, and its middle 95 %. A picture with its edges cut
 * off is nearer to the second one.
 *
 * @param grey 48 x 48 luminance
 */
export function thumbsOf(grey: Float32Array): Uint8Array {
  const whole = { side: PICTURE_SIDE, grey }
  const inner = { side: PICTURE_SIDE, grey: cutWindow(whole, INNER) }
  const thumbs = new Uint8Array(THUMB_BYTES)
  for (const [i, square] of [whole, inner].entries())
    thumbs.set(halve(halve(square)).grey.map(Math.round), i * THUMB_WIDTH)
  return thumbs
}

/** Which thumbnail, and which way round. */
export interface ThumbView {
  readonly part: 'whole' | 'inner'
  readonly mirrored: boolean
}

/** Thumbnails of the rows `first` to `last`, mean 0 and length 1: float32 [last - first, 144]. */
export function thumbBlock(
  thumbs: Uint8Array,
  first: number,
  last: number,
  { part, mirrored }: ThumbView,
): Float32Array {
  const block = new Float32Array((last - first) * THUMB_WIDTH)
  for (let row = first; row < last; row++) {
    const grey = pixelsOf(thumbs, row, part)
    const turned = mirrored ? mirrorSquare({ side: SIDE, grey }).grey : grey
    block.set(standardise(turned), (row - first) * THUMB_WIDTH)
  }
  return block
}

/** The whole picture at 6 x 6, mean 0 and length 1. */
export function roughOf(thumbs: Uint8Array, row: number, mirrored: boolean): Float32Array {
  const half = halve({ side: SIDE, grey: pixelsOf(thumbs, row, 'whole') })
  return standardise((mirrored ? mirrorSquare(half) : half).grey)
}

function pixelsOf(thumbs: Uint8Array, row: number, part: ThumbView['part']): Float32Array {
  const from = row * THUMB_BYTES + (part === 'whole' ? 0 : THUMB_WIDTH)
  return Float32Array.from(thumbs.subarray(from, from + THUMB_WIDTH))
}
