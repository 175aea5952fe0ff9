import { mkdirSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { encodeJpeg, readPicture, resizePicture, type Picture } from '@deepfever/media'

const PHOTOS = ['astronaut.png', 'grace-hopper.jpg']

/** A picture of `width` x `height`, filled with both demo photographs at a height of `tile`. */
async function tile(width: number, height: number, side: number): Promise<Picture> {
  const folder = new URL('../../datasets/demo/photos/', import.meta.url)
  const tiles = await Promise.all(
    PHOTOS.map(async name => {
      const photo = await readPicture(fileURLToPath(new URL(name, folder)))
      return resizePicture(photo, Math.round((photo.width * side) / photo.height), side)
    }),
  )
  const data = new Uint8Array(width * height * 3)
  for (let top = 0, turn = 0; top < height; top += side)
    for (let left = 0; left < width; turn++) {
      const photo = tiles[turn % tiles.length]!
      const wide = Math.min(photo.width, width - left)
      for (let y = 0; y < Math.min(side, height - top); y++) {
        const row = photo.data.subarray(y * photo.width * 3, (y * photo.width + wide) * 3)
        data.set(row, ((top + y) * width + left) * 3)
      }
      left += photo.width
    }
  return { width, height, data }
}

/** Writes JPEGs of two sizes under `folder`, faces large and small; answers their paths. */
export async function writePictures(folder: string): Promise<string[]> {
  mkdirSync(folder, { recursive: true })
  const paths: string[] = []
  for (const [width, height] of [
    [1200, 630],
    [1920, 1080],
  ] as const)
    for (const side of [height, height / 2]) {
      const path = join(folder, `${width}x${height}-${side}.jpg`)
      await writeFile(path, await encodeJpeg(await tile(width, height, side)))
      paths.push(path)
    }
  return paths
}
