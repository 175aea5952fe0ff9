import { UsageError } from '@deepfever/core'
import type { Picture } from '@deepfever/media'
import type { OnnxSession } from '@deepfever/runtime/onnx'
import { correct, pick, pickRows, regionOf, suppress, toSquares } from './boxes.ts'
import type { Candidates } from './boxes.ts'
import { propose } from './proposals.ts'
import type { ProposalSession } from './proposals.ts'
import { regionAverager, scalesOf, toIntegral } from './pyramid.ts'
import type { IntegralImage, Region } from './pyramid.ts'

/** One face: `box` x1, y1, x2, y2 and `landmarks` five x, y pairs, in pixels of the picture. */
export interface Detection {
  readonly box: Float32Array
  readonly probability: number
  /** left eye, right eye, nose, left and right corner of the mouth, as seen in the picture */
  readonly landmarks: Float32Array
}

/** Settings that change what is found; the defaults are facenet-pytorch's. */
export interface DetectorOptions {
  /** pixels; smaller faces are not looked for */
  readonly minFace?: number
  /** least probability after P-Net, R-Net and O-Net */
  readonly thresholds?: readonly [number, number, number]
  /** ratio of neighbouring pictures of the pyramid, in (0, 1) */
  readonly factor?: number
}

/** Open sessions of MTCNN's three networks. */
export interface MtcnnSessions {
  readonly pnet: ProposalSession
  readonly rnet: OnnxSession<'regression' | 'probability'>
  readonly onet: OnnxSession<'regression' | 'probability' | 'landmarks'>
}

/** The faces of a picture, largest box first; one picture at a time. */
export type Detect = (image: Picture) => Promise<Detection[]>

/** Pixels of one run, 32 crops of R-Net or 8 of O-Net: what they become stays in the cache. */
const CHUNK_PIXELS = 18_432
const OVERLAP = 0.7

/**
 * MTCNN (Zhang et al. 2016) with facenet-pytorch's arithmetic. What facenet-pytorch gets wrong is
 * put right: a picture smaller than `minFace` has no faces, and a box without pixels is dropped
 * everywhere.
 *
 * @throws UsageError for a setting outside its range
 */
export function detectorOf(
  { pnet, rnet, onet }: MtcnnSessions,
  { minFace = 20, thresholds = [0.6, 0.7, 0.7], factor = 0.709 }: DetectorOptions = {},
): Detect {
  if (!(minFace >= 1)) {
    throw new UsageError(`minFace is ${minFace}, expected at least 1 pixel`, { minFace })
  }
  if (!(factor > 0 && factor < 1)) {
    throw new UsageError(`factor is ${factor}, expected between 0 and 1`, { factor })
  }
  let buffer: Int32Array | undefined
  return async image => {
    const scales = scalesOf(image, minFace, factor)
    if (scales.length === 0) return []
    const integral = toIntegral(image, buffer)
    buffer = integral.sums
    const proposed = await propose(pnet, integral, scales, thresholds[0])
    const refined = await refine(rnet, integral, proposed, thresholds[1])
    return finish(onet, integral, refined, thresholds[2])
  }
}

/** R-Net: squares of P-Net's boxes to better boxes, squared again. */
async function refine(
  session: OnnxSession<'regression' | 'probability'>,
  integral: IntegralImage,
  proposed: Candidates,
  threshold: number,
): Promise<Float32Array> {
  const boxes = toSquares(correct(proposed, 0))
  const judged = await judge(session, integral, boxes, 24, threshold)
  const kept = pick(judged, suppress(judged.boxes, judged.scores, OVERLAP))
  return toSquares(correct(kept, 1))
}

/** O-Net: squares to final boxes and landmarks, largest box first. */
async function finish(
  session: OnnxSession<'regression' | 'probability' | 'landmarks'>,
  integral: IntegralImage,
  boxes: Float32Array,
  threshold: number,
): Promise<Detection[]> {
  const judged = await judge(session, integral, boxes, 48, threshold)
  const finals = correct(judged, 1)
  const kept = suppress(finals, judged.scores, OVERLAP, {
    by: 'smaller',
    edge: 1,
    ties: 'last',
  })
  const faces = kept.map(i => ({
    box: finals.slice(i * 4, i * 4 + 4),
    probability: judged.scores[i]!,
    landmarks: toPixels(judged.boxes, judged.landmarks, i),
  }))
  return faces.sort((a, b) => areaOf(b.box) - areaOf(a.box))
}

/** Scores the pixels of every box and keeps the rows above the threshold, the same everywhere. */
async function judge(
  session: OnnxSession<'regression' | 'probability'>,
  integral: IntegralImage,
  boxes: Float32Array,
  size: number,
  threshold: number,
): Promise<Candidates & { landmarks: Float32Array }> {
  const whole = Array.from({ length: boxes.length / 4 }, (_, row) => ({
    row,
    region: regionOf(boxes, row, integral),
  })).filter((at): at is { row: number; region: Region } => at.region !== undefined)
  const kept: number[] = []
  const scores: number[] = []
  const offsets: number[] = []
  const landmarks: number[] = []
  const plane = 3 * size * size
  const average = regionAverager(integral, size)
  const chunk = CHUNK_PIXELS / (size * size)
  const input = new Float32Array(Math.min(chunk, whole.length) * plane)
  for (let first = 0; first < whole.length; first += chunk) {
    const rows = whole.slice(first, first + chunk)
    rows.forEach(({ region }, i) => {
      average(region, input, i * plane)
    })
    const values = input.subarray(0, rows.length * plane)
    const found: Readonly<Record<string, { values: Float32Array }>> = await session.run({
      image: { shape: [rows.length, 3, size, size], values },
    })
    rows.forEach(({ row }, i) => {
      const score = found['probability']!.values[i * 2 + 1]!
      if (!(score > threshold)) return
      kept.push(row)
      scores.push(score)
      offsets.push(...found['regression']!.values.subarray(i * 4, i * 4 + 4))
      landmarks.push(...(found['landmarks']?.values.subarray(i * 10, i * 10 + 10) ?? []))
    })
  }
  return {
    boxes: pickRows(boxes, 4, kept),
    scores: Float32Array.from(scores),
    offsets: Float32Array.from(offsets),
    landmarks: Float32Array.from(landmarks),
  }
}

/** Five x then five y, as fractions of box `index`, to x, y pairs in pixels. */
function toPixels(boxes: Float32Array, landmarks: Float32Array, index: number): Float32Array {
  const [x1, y1, x2, y2] = boxes.subarray(index * 4, index * 4 + 4) as unknown as [
    number,
    number,
    number,
    number,
  ]
  return Float32Array.from({ length: 10 }, (_, i) => {
    const fraction = landmarks[index * 10 + (i % 2) * 5 + (i >> 1)]!
    return i % 2 === 0 ? (x2 - x1 + 1) * fraction + x1 - 1 : (y2 - y1 + 1) * fraction + y1 - 1
  })
}

const areaOf = (box: Float32Array): number => (box[2]! - box[0]!) * (box[3]! - box[1]!)
