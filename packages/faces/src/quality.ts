import type { Picture } from '@deepfever/media'
import type { Detection } from './mtcnn/detector.ts'

/** What a face is worth to learn from, measured on its crop and its landmarks. */
export interface FaceQuality {
  /** shorter side of the box, pixels */
  readonly side: number
  /** variance of the Laplacian of the crop's luma, 8-bit steps squared */
  readonly sharpness: number
  /** mean luma of the middle half of the crop, 0 to 1 */
  readonly brightness: number
  /** degrees */
  readonly yaw: number
  readonly pitch: number
  readonly roll: number
  /** 128 bits: where the luma rises from left to right, 16 x 8 cells */
  readonly signature: Uint8Array
}

const COLUMNS = 16
const ROWS = 8
const DEGREES = 180 / Math.PI
/** Share of the eyes' distance by which the nose lies below them in a face seen from the front. */
const FRONTAL_NOSE = 0.6
/** How far the nose stands out of the face, in distances of the eyes. */
const NOSE_DEPTH = 0.5

/** Rec. 601 luma of each pixel, 0 to 255. */
function lumaOf({ data, width, height }: Picture): Float32Array {
  const luma = new Float32Array(width * height)
  for (let i = 0, at = 0; i < luma.length; i++, at += 3)
    luma[i] = 0.299 * data[at]! + 0.587 * data[at + 1]! + 0.114 * data[at + 2]!
  return luma
}

/** Variance of the four-neighbour Laplacian over the inner pixels (Pech-Pacheco et al. 2000). */
function sharpnessOf(luma: Float32Array, width: number, height: number): number {
  let sum = 0
  let squares = 0
  for (let y = 1; y < height - 1; y++)
    for (let x = 1; x < width - 1; x++) {
      const i = y * width + x
      const value = luma[i - 1]! + luma[i + 1]! + luma[i - width]! + luma[i + width]! - 4 * luma[i]!
      sum += value
      squares += value * value
    }
  const count = (width - 2) * (height - 2)
  return squares / count - (sum / count) ** 2
}

/** Mean of a rectangle, ends excluded. */
function meanOf(luma: Float32Array, stride: number, box: readonly number[]): number {
  const [left, top, right, bottom] = box as readonly [number, number, number, number]
  let sum = 0
  for (let y = top; y < bottom; y++) for (let x = left; x < right; x++) sum += luma[y * stride + x]!
  return sum / ((right - left) * (bottom - top))
}

/** Difference hash: equal pictures have equal bits, similar ones few different bits. */
function signatureOf(luma: Float32Array, width: number, height: number): Uint8Array {
  const bits = new Uint8Array((COLUMNS * ROWS) / 8)
  const edge = (i: number, of: number, length: number) => Math.floor((i * length) / of)
  for (let row = 0; row < ROWS; row++) {
    const [top, bottom] = [edge(row, ROWS, height), edge(row + 1, ROWS, height)]
    let last = 0
    for (let column = 0; column <= COLUMNS; column++) {
      const left = edge(column, COLUMNS + 1, width)
      const right = edge(column + 1, COLUMNS + 1, width)
      const mean = meanOf(luma, width, [left, top, right, bottom])
      const bit = row * COLUMNS + column - 1
      if (column > 0 && mean > last) bits[bit >> 3]! |= 1 << (bit & 7)
      last = mean
    }
  }
  return bits
}

/**
 * Pose from five landmarks: roll is the line of the eyes; yaw and pitch follow from how far the
 * nose has left the place it has in a face seen from the front. Good to about ten degrees, which is
 * enough to turn profiles away.
 */
function poseOf(landmarks: Float32Array): Pick<FaceQuality, 'yaw' | 'pitch' | 'roll'> {
  const at = (i: number) => [landmarks[2 * i]!, landmarks[2 * i + 1]!] as const
  const [[lx, ly], [rx, ry], [nx, ny]] = [at(0), at(1), at(2)]
  const roll = Math.atan2(ry - ly, rx - lx)
  const [cos, sin] = [Math.cos(roll), Math.sin(roll)]
  const middle = [(lx + rx) / 2, (ly + ry) / 2] as const
  const mouth = [(at(3)[0] + at(4)[0]) / 2, (at(3)[1] + at(4)[1]) / 2] as const
  const along = (x: number, y: number) => (x - middle[0]) * cos + (y - middle[1]) * sin
  const down = (x: number, y: number) => (y - middle[1]) * cos - (x - middle[0]) * sin
  // In a profile the eyes fall together; the height of the face then gives its size.
  const size = Math.max(Math.hypot(rx - lx, ry - ly), Math.abs(down(...mouth)) * 0.9, 1e-6)
  const angle = (offset: number) => DEGREES * Math.asin(Math.max(-1, Math.min(1, offset)))
  return {
    yaw: angle(along(nx, ny) / size / NOSE_DEPTH),
    pitch: angle((FRONTAL_NOSE - down(nx, ny) / size) / NOSE_DEPTH),
    roll: DEGREES * roll,
  }
}

/** Measures a face on its crop (any size from 17 x 8 pixels) and its landmarks in the picture. */
export function qualityOf(crop: Picture, { box, landmarks }: Detection): FaceQuality {
  const { width, height } = crop
  const luma = lumaOf(crop)
  const middle = [width >> 2, height >> 2, width - (width >> 2), height - (height >> 2)]
  return {
    side: Math.min(box[2]! - box[0]!, box[3]! - box[1]!),
    sharpness: sharpnessOf(luma, width, height),
    brightness: meanOf(luma, width, middle) / 255,
    ...poseOf(landmarks),
    signature: signatureOf(luma, width, height),
  }
}
