import { ShapeError } from '@deepfever/core'
import type { Picture } from '@deepfever/media'

/** A rectangle of a picture, in pixels; the far edges are outside. */
export interface Region {
  readonly left: number
  readonly top: number
  readonly right: number
  readonly bottom: number
}

/** P-Net's cell: the smallest face it sees, in pixels of its input. */
const CELL = 12

/**
 * Sums of all pixels above and left of each place, [height + 1, width + 1, 3], modulo 2^32: the sum
 * of any window of fewer than 2^23 pixels is exact.
 */
export interface IntegralImage {
  readonly sums: Int32Array
  readonly width: number
  readonly height: number
}

/** Sums `image` into `buffer` when it is large enough, into a new one otherwise. */
export function toIntegral(image: Picture, buffer?: Int32Array): IntegralImage {
  const { data, width, height } = image
  if (data.length !== width * height * 3 || width < 1 || height < 1) {
    throw new ShapeError(
      `a picture of ${width} x ${height} has ${data.length} bytes, expected ${width * height * 3} (RGB)`,
      { width, height, found: data.length, wanted: width * height * 3 },
    )
  }
  const stride = (width + 1) * 3
  const size = stride * (height + 1)
  const sums = buffer !== undefined && buffer.length >= size ? buffer : new Int32Array(size)
  sums.fill(0, 0, stride)
  for (let y = 0, from = 0; y < height; y++) {
    let to = (y + 1) * stride
    let red = 0
    let green = 0
    let blue = 0
    sums[to] = sums[to + 1] = sums[to + 2] = 0
    for (let x = 0; x < width; x++, from += 3) {
      to += 3
      red = (red + data[from]!) | 0
      green = (green + data[from + 1]!) | 0
      blue = (blue + data[from + 2]!) | 0
      sums[to] = (sums[to - stride]! + red) | 0
      sums[to + 1] = (sums[to - stride + 1]! + green) | 0
      sums[to + 2] = (sums[to - stride + 2]! + blue) | 0
    }
  }
  return { sums, width, height }
}

/** The scales at which P-Net sees a picture, largest first; none when it is smaller than `minFace`. */
export function scalesOf(
  { width, height }: { width: number; height: number },
  minFace: number,
  factor: number,
): number[] {
  const scales: number[] = []
  let scale = CELL / minFace
  let side = Math.min(width, height) * scale
  while (side >= CELL) {
    scales.push(scale)
    scale *= factor
    side *= factor
  }
  return scales
}

/** The places of a resize along one axis: output i averages inputs `from[i]` to `to[i]` - 1. */
export interface Windows {
  readonly from: Int32Array
  readonly to: Int32Array
}

/**
 * Adaptive average pooling's windows (torch `interpolate(mode='area')`); also enlarges.
 *
 * @param into windows of `count` outputs to write over
 */
export function windowsOf(start: number, end: number, count: number, into?: Windows): Windows {
  const size = end - start
  const windows = into ?? { from: new Int32Array(count), to: new Int32Array(count) }
  const { from, to } = windows
  for (let i = 0; i < count; i++) {
    from[i] = start + Math.floor((i * size) / count)
    to[i] = start + Math.ceil(((i + 1) * size) / count)
  }
  return windows
}

/**
 * Averages windows of a picture into `target` at `at`, as [3, rows, columns], normalised to
 * (x - 127.5) / 128. The sums are exact; the mean is rounded once, to float32.
 *
 * @param first,last the rows of `rows` to fill
 */
export function averageWindows(
  { sums, width }: IntegralImage,
  rows: Windows,
  columns: Windows,
  target: Float32Array,
  { at = 0, first = 0, last = rows.from.length } = {},
): void {
  const stride = (width + 1) * 3
  const wide = columns.from.length
  const plane = (last - first) * wide
  const { from: left, to: right } = columns
  for (let y = first, out = at; y < last; y++) {
    const top = rows.from[y]! * stride
    const bottom = rows.to[y]! * stride
    const high = (rows.to[y]! - rows.from[y]!) * 128
    for (let x = 0; x < wide; x++, out++) {
      const l = left[x]! * 3
      const r = right[x]! * 3
      const inverse = 1 / (high * (right[x]! - left[x]!))
      const a = top + l
      const b = top + r
      const c = bottom + l
      const d = bottom + r
      target[out] =
        ((((sums[d]! - sums[c]!) | 0) - ((sums[b]! - sums[a]!) | 0)) | 0) * inverse - MEAN
      target[out + plane] =
        ((((sums[d + 1]! - sums[c + 1]!) | 0) - ((sums[b + 1]! - sums[a + 1]!) | 0)) | 0) *
          inverse -
        MEAN
      target[out + 2 * plane] =
        ((((sums[d + 2]! - sums[c + 2]!) | 0) - ((sums[b + 2]! - sums[a + 2]!) | 0)) | 0) *
          inverse -
        MEAN
    }
  }
}

const MEAN = 127.5 / 128

/** Averages regions down (or up) to `size` x `size` into `target` at `at`, [3, size, size]. */
export function regionAverager(
  integral: IntegralImage,
  size: number,
): (region: Region, target: Float32Array, at: number) => void {
  const rows = windowsOf(0, size, size)
  const columns = windowsOf(0, size, size)
  return ({ left, top, right, bottom }, target, at) => {
    windowsOf(top, bottom, size, rows)
    windowsOf(left, right, size, columns)
    averageWindows(integral, rows, columns, target, { at })
  }
}
