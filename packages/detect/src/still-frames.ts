import { readThumbnail } from '@deepfever/media'

/** Cells a side: a face of a tenth of the picture's width covers nine or more. */
const CELLS = 32

/** Whether a clip's next frame hardly differs from the last one of it that was looked at. */
export type StillFrames = (clipId: string, image: Uint8Array) => Promise<boolean>

/**
 * Compares frames on a grid of 32 x 32 mean grey values.
 *
 * @param most largest change of any cell, in 8-bit steps, that counts as none; 0: no frame is still
 */
export function openStillFrames(most: number): StillFrames {
  let last: { readonly clipId: string; readonly cells: Uint8Array } | undefined
  return async (clipId, image) => {
    if (most === 0) return false
    const cells = await readThumbnail(image, CELLS)
    if (!cells) return false
    const isStill =
      last?.clipId === clipId && last.cells.every((value, i) => Math.abs(value - cells[i]!) <= most)
    if (!isStill) last = { clipId, cells }
    return isStill
  }
}
