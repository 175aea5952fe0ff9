import type { Region } from './pyramid.ts'

/** Candidate boxes: `boxes` and `offsets` hold 4 numbers a candidate (x1, y1, x2, y2), `scores` one. */
export interface Candidates {
  readonly boxes: Float32Array
  readonly scores: Float32Array
  /** the network's correction of each side, as fractions of the box */
  readonly offsets: Float32Array
}

/** How {@link suppress} measures overlap and orders equal scores. */
export interface Suppression {
  /** what the shared area is divided by: the area of both boxes, or of the smaller one */
  readonly by?: 'union' | 'smaller'
  readonly edge?: 0 | 1
  readonly ties?: 'first' | 'last'
}

/**
 * Greedy non-maximum suppression: keeps the best box, drops those that overlap it by more than
 * `threshold`, and so on.
 *
 * @param by union as torchvision's nms, smaller as MTCNN's last stage
 * @param edge added to widths and heights: 0 as torchvision, 1 as MTCNN's last stage
 * @param ties which of equal scores goes first: torchvision's the first, MTCNN's last stage the last
 *   (scores of 1 are common there)
 * @returns indices of the kept boxes, best first
 */
export function suppress(
  boxes: Float32Array,
  scores: Float32Array,
  threshold: number,
  { by = 'union', edge = 0, ties = 'first' }: Suppression = {},
): number[] {
  const order = Array.from(scores.keys()).sort(
    (a, b) => scores[b]! - scores[a]! || (ties === 'first' ? a - b : b - a),
  )
  const x1 = Float64Array.from(order, i => boxes[i * 4]!)
  const y1 = Float64Array.from(order, i => boxes[i * 4 + 1]!)
  const x2 = Float64Array.from(order, i => boxes[i * 4 + 2]! + edge)
  const y2 = Float64Array.from(order, i => boxes[i * 4 + 3]! + edge)
  const area = x1.map((x, i) => (x2[i]! - x) * (y2[i]! - y1[i]!))
  const left = Int32Array.from(order.keys())
  const kept: number[] = []
  for (let count = left.length; count > 0;) {
    const i = left[0]!
    kept.push(order[i]!)
    const [x, y, right, bottom] = [x1[i]!, y1[i]!, x2[i]!, y2[i]!]
    let next = 0
    for (let at = 1; at < count; at++) {
      const j = left[at]!
      if (x1[j]! >= right || x2[j]! <= x || y1[j]! >= bottom || y2[j]! <= y) {
        left[next++] = j
        continue
      }
      const wide = Math.min(right, x2[j]!) - Math.max(x, x1[j]!)
      const high = Math.min(bottom, y2[j]!) - Math.max(y, y1[j]!)
      if (wide > 0 && high > 0) {
        const shared = wide * high
        const base = by === 'union' ? area[i]! + area[j]! - shared : Math.min(area[i]!, area[j]!)
        if (shared / base > threshold) continue
      }
      left[next++] = j
    }
    count = next
  }
  return kept
}

/** The candidates at `indices`, in that order. */
export function pick(
  { boxes, scores, offsets }: Candidates,
  indices: readonly number[],
): Candidates {
  return {
    boxes: pickRows(boxes, 4, indices),
    scores: pickRows(scores, 1, indices),
    offsets: pickRows(offsets, 4, indices),
  }
}

/** Rows of `width` numbers at `indices`. */
export function pickRows(
  rows: Float32Array,
  width: number,
  indices: readonly number[],
): Float32Array {
  const picked = new Float32Array(indices.length * width)
  indices.forEach((from, to) => {
    for (let k = 0; k < width; k++) picked[to * width + k] = rows[from * width + k]!
  })
  return picked
}

/** All candidates of `parts`, one after the other. */
export function joinCandidates(parts: readonly Candidates[]): Candidates {
  const join = (arrays: readonly Float32Array[]): Float32Array => {
    const joined = new Float32Array(arrays.reduce((n, { length }) => n + length, 0))
    let at = 0
    for (const array of arrays) {
      joined.set(array, at)
      at += array.length
    }
    return joined
  }
  return {
    boxes: join(parts.map(({ boxes }) => boxes)),
    scores: join(parts.map(({ scores }) => scores)),
    offsets: join(parts.map(({ offsets }) => offsets)),
  }
}

/**
 * Moves every side by its offset times the box's width or height.
 *
 * @param edge added to width and height: 0 after P-Net, 1 after R-Net and O-Net
 */
export function correct({ boxes, offsets }: Candidates, edge: number): Float32Array {
  return boxes.map((side, i) => {
    const at = i - (i % 4)
    const axis = i % 2
    const size = boxes[at + axis + 2]! - boxes[at + axis]! + edge
    return side + offsets[i]! * size
  })
}

/** Grows every box's shorter side around its centre to the longer one. */
export function toSquares(boxes: Float32Array): Float32Array {
  const squares = new Float32Array(boxes.length)
  for (let at = 0; at < boxes.length; at += 4) {
    const wide = boxes[at + 2]! - boxes[at]!
    const high = boxes[at + 3]! - boxes[at + 1]!
    const side = Math.max(wide, high)
    squares[at] = boxes[at]! + wide * 0.5 - side * 0.5
    squares[at + 1] = boxes[at + 1]! + high * 0.5 - side * 0.5
    squares[at + 2] = squares[at]! + side
    squares[at + 3] = squares[at + 1]! + side
  }
  return squares
}

/**
 * The pixels of box `index` that lie inside the picture: sides cut to whole numbers, the near ones
 * counted from 1. Nothing when no pixel is left.
 */
export function regionOf(
  boxes: Float32Array,
  index: number,
  { width, height }: { width: number; height: number },
): Region | undefined {
  const [x1, y1, x2, y2] = [0, 1, 2, 3].map(k => Math.trunc(boxes[index * 4 + k]!))
  const region = {
    left: Math.max(x1!, 1) - 1,
    top: Math.max(y1!, 1) - 1,
    right: Math.min(x2!, width),
    bottom: Math.min(y2!, height),
  }
  return region.right > region.left && region.bottom > region.top ? region : undefined
}
