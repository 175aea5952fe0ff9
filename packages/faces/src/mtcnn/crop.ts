import { ShapeError } from '@deepfever/core'
import type { Picture } from '@deepfever/media'
import type { Region } from './pyramid.ts'

/** Side of a stored face crop, in pixels. */
export const CROP_SIZE = 140

/** Fraction bits of a weight: Pillow's 32 less 8 of the pixel and 2 for overshoot. */
const PRECISION = 22

/**
 * Cuts a face out and stretches it to `size` x `size`, whatever its aspect: facenet-pytorch's
 * `extract_face` of a PIL picture (margin 0, sides cut to whole pixels, clipped to the picture).
 *
 * @param box x1, y1, x2, y2 in pixels
 * @throws ShapeError when no pixel of the box lies in the picture
 */
export function extractFace(image: Picture, box: ArrayLike<number>, size = CROP_SIZE): Picture {
  const region = {
    left: Math.trunc(Math.max(box[0]!, 0)),
    top: Math.trunc(Math.max(box[1]!, 0)),
    right: Math.trunc(Math.min(box[2]!, image.width)),
    bottom: Math.trunc(Math.min(box[3]!, image.height)),
  }
  if (!(region.right > region.left && region.bottom > region.top)) {
    throw new ShapeError(
      `box [${Array.from(box).join(', ')}] has no pixel in a picture of ${image.width} x ${image.height}`,
      { box: Array.from(box), width: image.width, height: image.height },
    )
  }
  return resizeTriangle(image, region, size, size)
}

/**
 * Resizes `region` with an antialiased triangle filter: the `BILINEAR` of Pillow 10.4, bit for bit (two
 * passes, first across, both rounded to 8 bits, weights in 22-bit fixed point).
 */
export function resizeTriangle(
  { data, width: stride }: Picture,
  { left, top, right, bottom }: Region,
  width: number,
  height: number,
): Picture {
  const across = weightsOf(right - left, width)
  const down = weightsOf(bottom - top, height)
  const rows = bottom - top
  const narrow = new Uint8Array(rows * width * 3)
  for (let y = 0; y < rows; y++) {
    const from = ((top + y) * stride + left) * 3
    for (let x = 0; x < width; x++) {
      weigh(data, from, 3, across, x, narrow, (y * width + x) * 3)
    }
  }
  const resized = new Uint8Array(height * width * 3)
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      weigh(narrow, x * 3, width * 3, down, y, resized, (y * width + x) * 3)
    }
  }
  return { data: resized, width, height }
}

interface Weights {
  /** most inputs an output has */
  readonly taps: number
  readonly first: Int32Array
  readonly count: Int32Array
  /** [outputs, taps], fixed point */
  readonly weight: Int32Array
}

/** Writes the weighted pixels from `from` on, `step` apart, as output `index`'s pixel at `to`. */
function weigh(
  pixels: Uint8Array,
  from: number,
  step: number,
  { taps, first, count, weight }: Weights,
  index: number,
  target: Uint8Array,
  to: number,
): void {
  let red = 1 << (PRECISION - 1)
  let green = red
  let blue = red
  let at = from + first[index]! * step
  const start = index * taps
  const end = start + count[index]!
  for (let k = start; k < end; k++, at += step) {
    const by = weight[k]!
    red = (red + Math.imul(pixels[at]!, by)) | 0
    green = (green + Math.imul(pixels[at + 1]!, by)) | 0
    blue = (blue + Math.imul(pixels[at + 2]!, by)) | 0
  }
  target[to] = toByte(red)
  target[to + 1] = toByte(green)
  target[to + 2] = toByte(blue)
}

const toByte = (sum: number): number => Math.max(0, Math.min(255, sum >> PRECISION))

/** The triangle's weights along one axis; its half width is one output pixel, at least one input. */
function weightsOf(size: number, count: number): Weights {
  const scale = size / count
  const support = Math.max(scale, 1)
  const taps = Math.ceil(support) * 2 + 1
  const weights = {
    taps,
    first: new Int32Array(count),
    count: new Int32Array(count),
    weight: new Int32Array(count * taps),
  }
  for (let i = 0; i < count; i++) {
    const centre = (i + 0.5) * scale
    const first = Math.max(0, Math.trunc(centre - support + 0.5))
    const last = Math.min(size, Math.trunc(centre + support + 0.5))
    const inverse = 1 / support
    const exact = Array.from({ length: last - first }, (_, k) =>
      Math.max(0, 1 - Math.abs((first + k - centre + 0.5) * inverse)),
    )
    const total = exact.reduce((sum, value) => sum + value, 0)
    weights.first[i] = first
    weights.count[i] = last - first
    exact.forEach((value, k) => {
      const normal = total === 0 ? value : value / total
      weights.weight[i * taps + k] = Math.trunc(0.5 + normal * 2 ** PRECISION)
    })
  }
  return weights
}
