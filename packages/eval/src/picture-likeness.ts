import { PICTURE_SIDE } from './picture-hash.ts'
import {
  cutWindow,
  detailOf,
  dot,
  halve,
  mirrorSquare,
  standardise,
  type Square,
  type Window,
} from './square.ts'

/** Scales at which one picture may be a part of the other: 5 and 10 % cut off its sides. */
const CUTS = [0.95, 0.9]
/** Places of a window at half the side, as shares of what was cut off, */
const COARSE = [0, 0.5, 1]
/** and around the best of them at the full side. */
const FINE = [-0.25, 0, 0.25]
/** Pictures less alike than this at an eighth, and then at half of the side, are not alike. */
export const ROUGHLY = 0.6
const HALFWAY = 0.65
/** Pictures this alike need no closer look. */
export const CERTAIN = 0.97

const windows: readonly Window[] = CUTS.flatMap(scale =>
  COARSE.flatMap(x => COARSE.map(y => ({ scale, x, y }))),
)

/** A picture and its detail. */
interface Layer extends Square {
  readonly detail: Float32Array
}

/** One orientation of a picture at three sizes. */
interface Pyramid {
  readonly rough: Float32Array
  readonly coarse: Layer
  readonly fine: Layer
  /** detail of every window of `coarse`, made when first asked for */
  cuts: readonly Float32Array[] | undefined
}

/** A picture ready to be compared with many. */
export interface Comparable {
  readonly upright: Pyramid
  readonly mirrored: Pyramid
}

/** @param grey 48 x 48 luminance */
export function toComparable(grey: Float32Array): Comparable {
  const square = { side: PICTURE_SIDE, grey }
  return { upright: toPyramid(square), mirrored: toPyramid(mirrorSquare(square)) }
}

function toPyramid(square: Square): Pyramid {
  const half = halve(square)
  const rough = standardise(halve(halve(half)).grey)
  return { rough, coarse: toLayer(half), fine: toLayer(square), cuts: undefined }
}

const toLayer = (square: Square): Layer => ({ ...square, detail: detailOf(square) })

const cutsOf = (pyramid: Pyramid): readonly Float32Array[] =>
  (pyramid.cuts ??= windows.map(window => detailIn(pyramid.coarse, window)))

/**
 * How alike two pictures are in their detail: the largest correlation over mirroring and over
 * windows of either that show 100, 95 or 90 % of its sides.
 *
 * @param grey 48 x 48 luminance of the other picture
 * @returns 0 where they are clearly different, up to 1; copies, also cut or compressed again, reach
 *   0.9, two people 0.8
 */
export function likeness({ upright, mirrored }: Comparable, grey: Float32Array): number {
  const other = toPyramid({ side: PICTURE_SIDE, grey })
  return Math.max(compare(upright, other), compare(mirrored, other))
}

function compare(a: Pyramid, b: Pyramid): number {
  if (dot(a.rough, b.rough) < ROUGHLY) return 0
  const same = dot(a.fine.detail, b.fine.detail)
  if (same >= CERTAIN) return same
  let best = { alike: dot(a.coarse.detail, b.coarse.detail), swap: false, window: windows[0]! }
  for (const [whole, cut, swap] of [
    [a, b, false],
    [b, a, true],
  ] as const)
    for (const [i, detail] of cutsOf(cut).entries()) {
      const alike = dot(whole.coarse.detail, detail)
      if (alike > best.alike) best = { alike, swap, window: windows[i]! }
    }
  if (best.alike < HALFWAY) return Math.max(0, same)
  const [whole, other] = best.swap ? [b.fine, a.fine] : [a.fine, b.fine]
  const { scale, x, y } = best.window
  const around = FINE.flatMap(dx =>
    FINE.map(dy => dot(whole.detail, detailIn(other, { scale, x: x + dx, y: y + dy }))),
  )
  return Math.max(0, same, ...around)
}

/** Detail of a window of a picture. */
const detailIn = (square: Square, window: Window): Float32Array =>
  detailOf({ side: square.side, grey: cutWindow(square, window) })
