import {
  codeOf,
  decodePicture,
  encodeJpeg,
  readPicture,
  type Picture,
  type PictureFault,
} from '@deepfever/media'
import type { OpenWork } from '@deepfever/runtime/onnx'
import { extractFace } from './mtcnn/crop.ts'
import { qualityOf, type FaceQuality } from './quality.ts'
import { detectorOf, type Detect, type Detection, type MtcnnSessions } from './mtcnn/detector.ts'

/** When a detection counts as a face of a corpus. */
export interface Gate {
  /** least probability of MTCNN's last net */
  readonly probability: number
  /** least width and height of the box, pixels */
  readonly minFace: number
}

/** The one face that a corpus means: its box (none: the whole picture). */
export interface MeantFace {
  readonly box?: readonly [number, number, number, number] | undefined
  /** whether the sides are fractions of the picture's */
  readonly relative?: boolean | undefined
}

/**
 * A picture file and what is wanted of it: every face that passes the gate (without one: every
 * detection), or the one that is meant.
 */
export interface PictureJob {
  /** the file's bytes, or where it lies */
  readonly file: Uint8Array | string
  readonly gate?: Gate | undefined
  readonly meant?: MeantFace | undefined
}

/** A face as stored: crop 140 x 140, JPEG 95, 4:4:4. */
export interface CutFace extends Detection {
  readonly cropKind: 'detected' | 'given'
  readonly crop: Uint8Array
  readonly quality: FaceQuality
}

/** The faces of a picture, at least one, or why there are none. */
export type PictureAnswer = { readonly faces: readonly CutFace[] } | { readonly rejected: Reject }
/** Why a picture gave no face. */
export type Reject = PictureFault | 'no_face' | 'low_probability' | 'face_too_small' | 'bad_box'

/** Least overlap at which a detection is taken to be the face that is meant. */
const SAME_FACE = 0.3

/** What a thread does with a picture; without MTCNN's sessions nothing is looked for. */
export const openWork: OpenWork<PictureJob, PictureAnswer> = sessions => {
  const { pnet, rnet, onet } = sessions as Partial<MtcnnSessions>
  const detect = pnet && rnet && onet ? detectorOf({ pnet, rnet, onet }) : () => Promise.resolve([])
  return job => facesOf(job, detect)
}

/** Decodes a picture, finds the wanted faces and cuts them out. */
export async function facesOf(
  { file, gate, meant }: PictureJob,
  detect: Detect,
): Promise<PictureAnswer> {
  let picture: Picture
  try {
    picture = await (typeof file === 'string' ? readPicture(file) : decodePicture(file))
  } catch (thrown) {
    return { rejected: codeOf(thrown) as PictureFault }
  }
  const detections = await detect(picture)
  const passing = gate ? detections.filter(found => passes(found, gate)) : detections
  if (!meant) {
    if (passing.length === 0) return { rejected: rejectionOf(detections, gate) }
    return { faces: await Promise.all(passing.map(found => cut(picture, found, 'detected'))) }
  }
  const found = meantOf(picture, passing, meant)
  const given = { box: boxOf(picture, meant), landmarks: new Float32Array(10), probability: 0 }
  if (!found && !hasPixels(picture, given.box)) return { rejected: 'bad_box' }
  return { faces: [await cut(picture, found ?? given, found ? 'detected' : 'given')] }
}

async function cut(
  picture: Picture,
  found: Detection,
  cropKind: CutFace['cropKind'],
): Promise<CutFace> {
  const crop = extractFace(picture, found.box)
  return { ...found, cropKind, crop: await encodeJpeg(crop), quality: qualityOf(crop, found) }
}

/** The meant box in pixels; without one, the whole picture. */
function boxOf({ width, height }: Picture, { box, relative }: MeantFace): Float32Array {
  if (!box) return Float32Array.of(0, 0, width, height)
  const [x, y] = relative ? [width, height] : [1, 1]
  return Float32Array.of(box[0] * x, box[1] * y, box[2] * x, box[3] * y)
}

/** Whether a box covers at least one pixel of the picture. */
const hasPixels = ({ width, height }: Picture, [x1, y1, x2, y2]: Float32Array): boolean =>
  Math.trunc(Math.min(x2!, width)) > Math.trunc(Math.max(x1!, 0)) &&
  Math.trunc(Math.min(y2!, height)) > Math.trunc(Math.max(y1!, 0))

/** The detection of most overlap with the meant box, or the largest without one. */
function meantOf(
  picture: Picture,
  passing: readonly Detection[],
  meant: MeantFace,
): Detection | undefined {
  if (!meant.box) return passing[0]
  const box = boxOf(picture, meant)
  const [best] = passing
    .map(found => ({ found, overlap: overlapOf(found.box, box) }))
    .sort((a, b) => b.overlap - a.overlap)
  return best && best.overlap >= SAME_FACE ? best.found : undefined
}

const leastSideOf = ({ box }: Detection): number => Math.min(box[2]! - box[0]!, box[3]! - box[1]!)

/** Whether a detection passes the gate. */
const passes = (found: Detection, gate: Gate): boolean =>
  found.probability >= gate.probability && leastSideOf(found) >= gate.minFace

/** Why no detection passed the gate. */
function rejectionOf(detections: readonly Detection[], gate: Gate | undefined): Reject {
  if (!gate || detections.length === 0) return 'no_face'
  return detections.some(found => leastSideOf(found) >= gate.minFace)
    ? 'low_probability'
    : 'face_too_small'
}

/** Intersection over union of two boxes x1, y1, x2, y2. */
export function overlapOf(a: ArrayLike<number>, b: ArrayLike<number>): number {
  const width = Math.min(a[2]!, b[2]!) - Math.max(a[0]!, b[0]!)
  const height = Math.min(a[3]!, b[3]!) - Math.max(a[1]!, b[1]!)
  if (width <= 0 || height <= 0) return 0
  const area = (box: ArrayLike<number>) => (box[2]! - box[0]!) * (box[3]! - box[1]!)
  return (width * height) / (area(a) + area(b) - width * height)
}
