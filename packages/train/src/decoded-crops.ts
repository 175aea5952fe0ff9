import { decodeCrop, type Picture } from '@deepfever/media'
import type { Crop } from './crops.ts'

/** Decoded pixels that are kept: enough for small data sets to be decoded once. */
const KEPT_BYTES = 256 * 2 ** 20

/** Decodes crops to `side` pixels; the first ones stay decoded while they fit into memory. */
export function openDecoder(side: number): (crop: Crop) => Promise<Picture> {
  const kept = new Map<string, Promise<Picture>>()
  let room = Math.floor(KEPT_BYTES / (3 * side * side))
  return crop => {
    const known = kept.get(crop.faceId)
    if (known) return known
    const decoded = decodeCrop(crop.jpeg, side)
    if (room-- > 0) kept.set(crop.faceId, decoded)
    return decoded
  }
}
