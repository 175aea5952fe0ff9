import { closeSync, openSync, readSync } from 'node:fs'
import { FormatError, messageOf } from '@deepfever/core'
import type { BytesPlace } from '@deepfever/formats'
import { jpegShapeOf, openCropDecoder, type CropDecoder } from '@deepfever/media'
import type { Normalisation } from '@deepfever/models'
import { openJpegDecoder, type JpegDecoder } from '@deepfever/runtime/jpeg'

/** One picture of a batch. */
export interface WantedCrop extends BytesPlace {
  readonly faceId: string
  /** left and right exchanged */
  readonly flipped: boolean
}

/** The pictures of a batch, and where their targets lie. */
export interface LoadJob {
  readonly crops: readonly WantedCrop[]
  /** pixels */
  readonly side: number
  readonly normalisation: Normalisation
  /** takes the pictures, normalised: float32 [crops, side, side, 3] */
  readonly images: SharedArrayBuffer
  /** a native backend's addon, whose JPEG decoder is then used; no pixel depends on it */
  readonly addon?: string | undefined
  readonly targets?: {
    readonly path: string
    readonly width: number
    readonly offsets: readonly number[]
    /** takes the targets: float32 [crops, width] */
    readonly rows: SharedArrayBuffer
  }
}

/** Crops that are read and decoded together. */
const AT_ONCE = 20

/** What a thread of the loader does: reads, decodes, mirrors and normalises whole batches. */
export function openWork(): (job: LoadJob) => Promise<void> {
  let library: JpegDecoder | undefined
  let decoder: Promise<CropDecoder> | undefined
  return async ({ crops, side, normalisation, images, addon, targets }) => {
    library ??= addon === undefined ? undefined : openJpegDecoder(addon)
    const files = openFiles()
    const put = openPut(new Float32Array(images), side, normalisation)
    try {
      for (let start = 0; start < crops.length; start += AT_ONCE) {
        const own = crops.slice(start, start + AT_ONCE)
        const jpegs = own.map(crop => files.read(crop, new Uint8Array(crop.sizeBytes)))
        const pixels = library && decodeAll(library, jpegs, side)
        for (const [i, { path, faceId, flipped }] of own.entries()) {
          if (pixels) put(start + i, pixels, i, flipped)
          else {
            const decode = await (decoder ??= openCropDecoder())
            const picture = await decode(jpegs[i]!, side).catch((thrown: unknown) => {
              const reason = messageOf(thrown)
              throw new FormatError(`${path}: face ${faceId}: ${reason}`, { path, faceId }, thrown)
            })
            put(start + i, picture.data, 0, flipped)
          }
        }
      }
      if (!targets) return
      const { path, width, offsets, rows } = targets
      for (const [row, offset] of offsets.entries())
        files.read({ path, offset }, new Uint8Array(rows, 4 * width * row, 4 * width))
    } finally {
      files.close()
    }
  }
}

/** Files that stay open for the reads of one batch; in a thread, waiting costs no one else anything. */
function openFiles() {
  const open = new Map<string, number>()
  return {
    /** Fills `into` from a place in a file. */
    read({ path, offset }: Pick<BytesPlace, 'path' | 'offset'>, into: Uint8Array): Uint8Array {
      const file = open.get(path) ?? openSync(path, 'r')
      open.set(path, file)
      const missing = into.length - readSync(file, into, 0, into.length, offset)
      if (missing > 0)
        throw new FormatError(
          `${path}: ends ${missing} bytes early; it was changed under the run`,
          { path },
        )
      return into
    },
    close() {
      for (const file of open.values()) closeSync(file)
    },
  }
}

/**
 * The pixels of colour JPEGs of the wanted side, one after the other; undefined where one is
 * anything else or damaged, for the decoder that resizes, and names what is wrong.
 */
function decodeAll(
  library: JpegDecoder,
  jpegs: readonly Uint8Array[],
  side: number,
): Uint8Array | undefined {
  const isPlain = (jpeg: Uint8Array): boolean => {
    const shape = jpegShapeOf(jpeg)
    return shape?.width === side && shape.height === side && shape.components === 3
  }
  if (side % 2 !== 0 || !jpegs.every(isPlain)) return undefined
  try {
    return library.decode(jpegs, side)
  } catch {
    return undefined
  }
}

const LEVELS = 256

/** Puts pictures as the network's input, mirrored if so wanted: the `from`-th of `data` as `row`. */
function openPut(into: Float32Array, side: number, { mean, std }: Normalisation) {
  // What each of the 256 values of a channel becomes, channel after channel.
  const levels = Float32Array.from({ length: 3 * LEVELS }, (_, i) => {
    const c = Math.floor(i / LEVELS)
    return ((i % LEVELS) - mean[c]!) / std[c]!
  })
  const pixels = 3 * side * side
  return (row: number, data: Uint8Array, from: number, mirrored: boolean): void => {
    const step = mirrored ? -3 : 3
    let at = row * pixels
    for (let y = 0; y < side; y++) {
      let pixel = from * pixels + 3 * side * y + (mirrored ? 3 * (side - 1) : 0)
      for (let x = 0; x < side; x++, at += 3, pixel += step) {
        into[at] = levels[data[pixel]!]!
        into[at + 1] = levels[LEVELS + data[pixel + 1]!]!
        into[at + 2] = levels[2 * LEVELS + data[pixel + 2]!]!
      }
    }
  }
}
