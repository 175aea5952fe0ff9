import { closeSync, openSync, readSync } from 'node:fs'
import { FormatError, messageOf } from '@deepfever/core'
import type { BytesPlace } from '@deepfever/formats'
import { openCropDecoder, type Picture } from '@deepfever/media'
import type { Normalisation } from '@deepfever/models'

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
  readonly targets?: {
    readonly path: string
    readonly width: number
    readonly offsets: readonly number[]
  }
}

/** A batch's numbers, in memory that threads share. */
export interface Loaded {
  /** normalised, [rows, side, side, 3] */
  readonly images: Float32Array
  /** [rows, width] */
  readonly targets?: Float32Array
}

/** Fills `into` from a place in a file; in a thread, waiting costs no one else anything. */
function read(path: string, into: Uint8Array, offset: number): void {
  const file = openSync(path, 'r')
  try {
    const missing = into.length - readSync(file, into, 0, into.length, offset)
    if (missing > 0)
      throw new FormatError(`${path}: ends ${missing} bytes early; it was changed under the run`, {
        path,
      })
  } finally {
    closeSync(file)
  }
}

/** What a thread of the loader does: reads, decodes, mirrors and normalises whole batches. */
export function openWork(): (job: LoadJob) => Promise<Loaded> {
  const decoder = openCropDecoder()
  return async ({ crops, side, normalisation, targets }) => {
    const decode = await decoder
    const pixels = 3 * side * side
    const images = new Float32Array(new SharedArrayBuffer(4 * pixels * crops.length))
    const levels = levelsOf(normalisation)
    for (const [row, { path, offset, sizeBytes, faceId, flipped }] of crops.entries()) {
      const bytes = new Uint8Array(sizeBytes)
      read(path, bytes, offset)
      const picture = await decode(bytes, side).catch((thrown: unknown) => {
        const reason = messageOf(thrown)
        throw new FormatError(`${path}: face ${faceId}: ${reason}`, { path, faceId }, thrown)
      })
      putPixels(images.subarray(row * pixels, (row + 1) * pixels), picture, flipped, levels)
    }
    if (!targets) return { images }
    const { width } = targets
    const rows = new Float32Array(new SharedArrayBuffer(4 * width * crops.length))
    const bytes = new Uint8Array(4 * width)
    for (const [row, offset] of targets.offsets.entries()) {
      read(targets.path, bytes, offset)
      rows.set(new Float32Array(bytes.buffer), row * width)
    }
    return { images, targets: rows }
  }
}

/** What each of the 256 values of a channel becomes. */
const levelsOf = ({ mean, std }: Normalisation): Float32Array[] =>
  [0, 1, 2].map(c => Float32Array.from({ length: 256 }, (_, v) => (v - mean[c]!) / std[c]!))

/** One picture as the network's input, mirrored if so wanted. */
function putPixels(
  into: Float32Array,
  { data, width, height }: Picture,
  mirrored: boolean,
  [red, green, blue]: readonly Float32Array[],
): void {
  let at = 0
  for (let y = 0; y < height; y++) {
    let from = 3 * (mirrored ? (y + 1) * width - 1 : y * width)
    const step = mirrored ? -3 : 3
    for (let x = 0; x < width; x++, from += step) {
      into[at++] = red![data[from]!]!
      into[at++] = green![data[from + 1]!]!
      into[at++] = blue![data[from + 2]!]!
    }
  }
}
