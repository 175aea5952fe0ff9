import { mapOrdered } from '@deepfever/core'
import { decodePicture, encodeJpeg, type Picture } from '@deepfever/media'
import { extractFace, openDetector, type Detection } from './mtcnn/index.ts'

/** When a detection counts as a face of the data set. */
export interface Gate {
  /** least probability of MTCNN's last net */
  readonly probability: number
  /** least width and height of the box, pixels */
  readonly minFace: number
}

/** Sides of a box in pixels. */
export const sidesOf = (box: Float32Array): readonly [number, number] => [
  box[2]! - box[0]!,
  box[3]! - box[1]!,
]

/** Why no detection passed the gate, as a reject code. */
export function rejectionOf(detections: readonly Detection[], gate: Gate): string {
  if (detections.length === 0) return 'no_face'
  return detections.some(({ box }) => Math.min(...sidesOf(box)) >= gate.minFace)
    ? 'low_probability'
    : 'face_too_small'
}

/** Whether a detection passes the gate. */
export const passes = ({ box, probability }: Detection, gate: Gate): boolean =>
  probability >= gate.probability && Math.min(...sidesOf(box)) >= gate.minFace

/** Intersection over union of two boxes x1, y1, x2, y2. */
export function overlapOf(a: ArrayLike<number>, b: ArrayLike<number>): number {
  const width = Math.min(a[2]!, b[2]!) - Math.max(a[0]!, b[0]!)
  const height = Math.min(a[3]!, b[3]!) - Math.max(a[1]!, b[1]!)
  if (width <= 0 || height <= 0) return 0
  const area = (box: ArrayLike<number>) => (box[2]! - box[0]!) * (box[3]! - box[1]!)
  return (width * height) / (area(a) + area(b) - width * height)
}

/** The crop of a box as stored: 140 x 140, JPEG 95, 4:4:4. */
export const cutCrop = (picture: Picture, box: ArrayLike<number>): Promise<Uint8Array> =>
  encodeJpeg(extractFace(picture, box))

/** A picture with its detections, or the error that kept it from being decoded. */
export interface Found<T> {
  readonly item: T
  readonly result:
    | { readonly picture: Picture; readonly detections: readonly Detection[] }
    | { readonly error: unknown }
}

/**
 * Detects on every item's picture with `workers` detectors of one thread each. Each picture is
 * judged alone, so neither order nor number of workers changes a result.
 */
export async function* findFaces<T>(
  items: AsyncIterable<T>,
  bytesOf: (item: T) => Promise<Uint8Array> | Uint8Array,
  { workers, detect }: { workers: number; detect: boolean },
): AsyncGenerator<Found<T>> {
  const detectors = detect
    ? await Promise.all(Array.from({ length: workers }, () => openDetector({ threads: 1 })))
    : []
  const idle = [...detectors]
  try {
    yield* mapOrdered(items, workers, async item => {
      try {
        const picture = await decodePicture(await bytesOf(item))
        const detector = idle.pop()
        if (!detector) return { item, result: { picture, detections: [] } }
        const detections = await detector.detect(picture).finally(() => idle.push(detector))
        return { item, result: { picture, detections } }
      } catch (error) {
        return { item, result: { error } }
      }
    })
  } finally {
    await Promise.all(detectors.map(detector => detector.close()))
  }
}
