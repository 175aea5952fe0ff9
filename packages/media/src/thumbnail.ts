import sharp from 'sharp'

/**
 * A JPEG as `side` x `side` grey values, whatever its proportions; a large one is decoded at an
 * eighth of its size. Undefined when it cannot be decoded.
 */
export async function readThumbnail(
  jpeg: Uint8Array,
  side: number,
): Promise<Uint8Array | undefined> {
  const size = { width: side, height: side, fit: 'fill', kernel: 'linear' } as const
  // What is wrong with it is said where it is looked at.
  return sharp(jpeg, { failOn: 'error' })
    .resize(size)
    .greyscale()
    .raw()
    .toBuffer()
    .catch(() => undefined)
}
