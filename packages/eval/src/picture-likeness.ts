/** Side of the pictures that are compared. */
export const LIKENESS_SIDE = 48
/** Detail coarser than this many pixels is taken away: light and shape of heads are alike in many. */
const RADIUS = 2
/** Scales at which one picture may be a part of the other: 5 and 10 % cut off its sides. */
const CUTS = [0.95, 0.9]
/** Places of a window at half the side, as shares of what was cut off, */
const COARSE = [0, 0.5, 1]
/** and around the best of them at the full side. */
const FINE = [-0.25, 0, 0.25]
/** Pictures less alike than this at an eighth, and then at half of the side, are not alike. */
const ROUGHLY = 0.6
const HALFWAY = 0.5
/** Pictures this alike need no closer look. */
export const CERTAIN = 0.97

/** A window of a picture: a share of its sides, and its place in what is left over, 0 to 1. */
interface Window {
  readonly scale: number
  readonly x: number
  readonly y: number
}

const windows: readonly Window[] = CUTS.flatMap(scale =>
  COARSE.flatMap(x => COARSE.map(y => ({ scale, x, y }))),
)

/** Luminance of a square picture and its detail. */
interface Layer {
  readonly side: number
  readonly grey: Float32Array
  readonly detail: Float32Array
}

/** One orientation of a picture at three sizes. */
interface Pyramid {
  readonly rough: Float32Array
  readonly coarse: Layer
  readonly fine: Layer
}

/** A picture ready to be compared with many. */
export interface Comparable {
  readonly upright: Pyramid
  readonly mirrored: Pyramid
}

/** @param grey 48 x 48 luminance */
export const toComparable = (grey: Float32Array): Comparable => ({
  upright: toPyramid(grey),
  mirrored: toPyramid(mirrorGrey(grey)),
})

function toPyramid(grey: Float32Array): Pyramid {
  const half = halve(grey, LIKENESS_SIDE)
  const rough = halve(halve(half, LIKENESS_SIDE / 2), LIKENESS_SIDE / 4)
  return {
    rough: standardise(rough),
    coarse: { side: LIKENESS_SIDE / 2, grey: half, detail: detailOf(half, LIKENESS_SIDE / 2) },
    fine: { side: LIKENESS_SIDE, grey, detail: detailOf(grey, LIKENESS_SIDE) },
  }
}

/**
 * How alike two pictures are in their detail: the largest correlation over mirroring and over
 * windows of either that show 100, 95 or 90 % of its sides.
 *
 * @returns 0 where they are clearly different, up to 1; copies, also cut or compressed again, reach
 *   0.9, two people 0.8
 */
export const likeness = (a: Comparable, b: Comparable): number =>
  Math.max(compare(a.upright, b.upright), compare(a.mirrored, b.upright))

function compare(a: Pyramid, b: Pyramid): number {
  if (dot(a.rough, b.rough) < ROUGHLY) return 0
  const same = dot(a.fine.detail, b.fine.detail)
  if (same >= CERTAIN) return same
  let best = { alike: dot(a.coarse.detail, b.coarse.detail), swap: false, window: windows[0]! }
  for (const window of windows)
    for (const swap of [false, true]) {
      const alike = swap ? alikeIn(b.coarse, a.coarse, window) : alikeIn(a.coarse, b.coarse, window)
      if (alike > best.alike) best = { alike, swap, window }
    }
  if (best.alike < HALFWAY) return Math.max(0, same)
  const [whole, other] = best.swap ? [b.fine, a.fine] : [a.fine, b.fine]
  const { scale, x, y } = best.window
  const around = FINE.flatMap(dx =>
    FINE.map(dy => alikeIn(whole, other, { scale, x: x + dx, y: y + dy })),
  )
  return Math.max(0, same, ...around)
}

/** Correlation of a whole picture with a window of another, in detail. */
const alikeIn = (whole: Layer, other: Layer, window: Window): number =>
  dot(whole.detail, detailOf(cutWindow(other, window), other.side))

function dot(a: Float32Array, b: Float32Array): number {
  let sum = 0
  for (let i = 0; i < a.length; i++) sum += a[i]! * b[i]!
  return sum
}

/** A window of a picture at the picture's own side, bilinear. */
function cutWindow({ side, grey }: Layer, { scale, x, y }: Window): Float32Array {
  const result = new Float32Array(side * side)
  const from = (at: number, place: number) =>
    Math.max(0, Math.min(side - 1, (at + 0.5) * scale - 0.5 + place * side * (1 - scale)))
  for (let row = 0; row < side; row++) {
    const fromY = from(row, y)
    const upper = Math.min(side - 2, Math.floor(fromY))
    const dy = fromY - upper
    for (let column = 0; column < side; column++) {
      const fromX = from(column, x)
      const left = Math.min(side - 2, Math.floor(fromX))
      const dx = fromX - left
      const at = upper * side + left
      result[row * side + column] =
        (grey[at]! * (1 - dx) + grey[at + 1]! * dx) * (1 - dy) +
        (grey[at + side]! * (1 - dx) + grey[at + side + 1]! * dx) * dy
    }
  }
  return result
}

/** The picture less its mean over 5 x 5 pixels, standardised. */
function detailOf(grey: Float32Array, side: number): Float32Array {
  const smooth = meanAlong(meanAlong(grey, side, 1, side), side, side, 1)
  for (let i = 0; i < grey.length; i++) smooth[i] = grey[i]! - smooth[i]!
  return standardise(smooth)
}

/** Running means along one axis; fewer pixels at the edges. */
function meanAlong(values: Float32Array, side: number, step: number, stride: number): Float32Array {
  const result = new Float32Array(values.length)
  for (let line = 0; line < side; line++) {
    const start = line * stride
    let [sum, count] = [0, 0]
    for (; count < RADIUS; count++) sum += values[start + count * step]!
    for (let i = 0; i < side; i++) {
      if (i + RADIUS < side) {
        sum += values[start + (i + RADIUS) * step]!
        count++
      }
      if (i > RADIUS) {
        sum -= values[start + (i - RADIUS - 1) * step]!
        count--
      }
      result[start + i * step] = sum / count
    }
  }
  return result
}

/** In place: mean 0, length 1. */
function standardise(values: Float32Array): Float32Array {
  let [sum, squares] = [0, 0]
  for (let i = 0; i < values.length; i++) sum += values[i]!
  const mean = sum / values.length
  for (let i = 0; i < values.length; i++) squares += (values[i]! - mean) ** 2
  const scale = 1 / Math.max(1e-6, Math.sqrt(squares))
  for (let i = 0; i < values.length; i++) values[i] = (values[i]! - mean) * scale
  return values
}

/** Means of 2 x 2 pixels. */
function halve(grey: Float32Array, side: number): Float32Array {
  const half = side / 2
  return Float32Array.from({ length: half * half }, (_, i) => {
    const at = 2 * Math.floor(i / half) * side + 2 * (i % half)
    return (grey[at]! + grey[at + 1]! + grey[at + side]! + grey[at + side + 1]!) / 4
  })
}

function mirrorGrey(grey: Float32Array): Float32Array {
  return grey.map((_, i) => grey[i + LIKENESS_SIDE - 1 - 2 * (i % LIKENESS_SIDE)]!)
}
