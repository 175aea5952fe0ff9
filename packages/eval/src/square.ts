/** A square picture of luminance: `side` x `side` numbers, row by row. */
export interface Square {
  readonly side: number
  readonly grey: Float32Array
}

/** A window of a picture: a share of its sides, and its place in what is left over, 0 to 1. */
export interface Window {
  readonly scale: number
  readonly x: number
  readonly y: number
}

/** Detail coarser than this many pixels is taken away: light and shape of heads are alike in many. */
const RADIUS = 2

/** A window of a picture at the picture's own side, bilinear. */
export function cutWindow({ side, grey }: Square, { scale, x, y }: Window): Float32Array {
  const result = new Float32Array(side * side)
  const [across, down] = [placesAlong(side, scale, x), placesAlong(side, scale, y)]
  for (let row = 0, to = 0; row < side; row++) {
    const upper = Math.floor(down[row]!)
    const dy = down[row]! - upper
    for (let column = 0; column < side; column++, to++) {
      const left = Math.floor(across[column]!)
      const dx = across[column]! - left
      const at = upper * side + left
      const [above, below] = [grey[at]!, grey[at + side]!]
      const [top, bottom] = [
        above + dx * (grey[at + 1]! - above),
        below + dx * (grey[at + side + 1]! - below),
      ]
      result[to] = top + dy * (bottom - top)
    }
  }
  return result
}

/** Where the pixels of a window lie along one side; short of the last pixel, so that it has a next. */
const placesAlong = (side: number, scale: number, place: number): Float64Array =>
  Float64Array.from({ length: side }, (_, at) =>
    Math.max(0, Math.min(side - 1 - 1e-6, (at + 0.5) * scale - 0.5 + place * side * (1 - scale))),
  )

/** The picture less its mean over 5 x 5 pixels, standardised. */
export function detailOf({ side, grey }: Square): Float32Array {
  const smooth = meanAlong(meanAlong(grey, side, 1, side), side, side, 1)
  for (let i = 0; i < grey.length; i++) smooth[i] = grey[i]! - smooth[i]!
  return standardise(smooth)
}

/** Means of up to five numbers along one axis; fewer at the edges. */
function meanAlong(values: Float32Array, side: number, step: number, stride: number): Float32Array {
  const result = new Float32Array(values.length)
  for (let line = 0; line < side; line++) {
    const start = line * stride
    let sum = 0
    for (let i = 0; i < RADIUS; i++) sum += values[start + i * step]!
    for (let i = 0; i < side; i++) {
      const [first, last] = [i - RADIUS, i + RADIUS]
      if (last < side) sum += values[start + last * step]!
      if (first > 0) sum -= values[start + (first - 1) * step]!
      result[start + i * step] = sum / (Math.min(last, side - 1) - Math.max(first, 0) + 1)
    }
  }
  return result
}

/** In place: mean 0, length 1. */
export function standardise(values: Float32Array): Float32Array {
  let [sum, squares] = [0, 0]
  for (let i = 0; i < values.length; i++) sum += values[i]!
  const mean = sum / values.length
  for (let i = 0; i < values.length; i++) squares += (values[i]! - mean) ** 2
  const scale = 1 / Math.max(1e-6, Math.sqrt(squares))
  for (let i = 0; i < values.length; i++) values[i] = (values[i]! - mean) * scale
  return values
}

/** Half the side: means of 2 x 2 pixels. */
export function halve({ side, grey }: Square): Square {
  const half = side / 2
  const result = new Float32Array(half * half)
  for (let y = 0; y < half; y++)
    for (let x = 0; x < half; x++) {
      const at = 2 * y * side + 2 * x
      result[y * half + x] =
        (grey[at]! + grey[at + 1]! + grey[at + side]! + grey[at + side + 1]!) / 4
    }
  return { side: half, grey: result }
}

/** Left and right exchanged. */
export const mirrorSquare = ({ side, grey }: Square): Square => ({
  side,
  grey: grey.map((_, i) => grey[i + side - 1 - 2 * (i % side)]!),
})

/** Sum of products: the correlation of standardised pictures. */
export function dot(a: Float32Array, b: Float32Array): number {
  let sum = 0
  for (let i = 0; i < a.length; i++) sum += a[i]! * b[i]!
  return sum
}
