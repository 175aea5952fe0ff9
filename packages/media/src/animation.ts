import { open } from 'node:fs/promises'
import type { Sampling } from './decoding.ts'
import type { ClipFile } from './ffmpeg.ts'
import { PictureError } from './media-errors.ts'
import { pictureKindOf, type PictureKind } from './picture-kinds.ts'
import { decodeAnimation, resizePicture, type Picture } from './pictures.ts'
import { momentsOf } from './selection.ts'

/** A selected picture of a clip and its time. */
export interface TimedPicture {
  readonly picture: Picture
  readonly ptsUs: number
}

/** An animation is decoded whole, so larger files are refused. */
const MAX_BYTES = 256 * 2 ** 20
const HEAD_BYTES = 16

async function readBytes({ path, part }: ClipFile, limit: number): Promise<Uint8Array> {
  const file = await open(path, 'r')
  try {
    const sizeBytes = part?.sizeBytes ?? (await file.stat()).size
    const data = Buffer.alloc(Math.min(sizeBytes, limit + 1))
    await file.read(data, 0, data.length, part?.start ?? 0)
    return data
  } finally {
    await file.close()
  }
}

/** The kind of a clip that is a picture file: a WebP (not for ffmpeg when animated), a GIF, … */
export async function pictureKindOfClip(clip: ClipFile): Promise<PictureKind | undefined> {
  return pictureKindOf((await readBytes(clip, HEAD_BYTES)).subarray(0, HEAD_BYTES))
}

/**
 * The selected pages of an animated WebP with their times in microseconds; `key` takes all.
 *
 * @throws PictureError with a stable `code`
 */
export async function* readAnimation(
  clip: ClipFile,
  sampling: Sampling,
): AsyncGenerator<TimedPicture> {
  const bytes = await readBytes(clip, MAX_BYTES)
  if (bytes.length > MAX_BYTES)
    throw new PictureError(
      'too_many_bytes',
      `${clip.path}: an animation of more than ${MAX_BYTES} bytes`,
      { path: clip.path, wanted: MAX_BYTES },
    )
  const { pages, delaysMs } = await decodeAnimation(bytes, { name: clip.path })
  const moments = momentsOf(sampling, delaysMs.reduce((sum, delay) => sum + delay, 0) / 1000)
  let timeMs = 0
  let taken = 0
  for (const [i, page] of pages.entries()) {
    const reached = moments ? moments.countAt(timeMs / 1000) : i + 1
    if (reached > taken) yield { picture: await fit(page, sampling.maxSide), ptsUs: timeMs * 1000 }
    taken = Math.max(taken, reached)
    timeMs += delaysMs[i]!
  }
}

/** Scales a picture down so that its longest side is at most `maxSide`. */
async function fit(picture: Picture, maxSide: number): Promise<Picture> {
  const scale = maxSide / Math.max(picture.width, picture.height)
  if (scale >= 1) return picture
  const side = (length: number) => Math.max(1, Math.round(length * scale))
  return resizePicture(picture, side(picture.width), side(picture.height))
}
