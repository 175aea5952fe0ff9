import { readFile } from 'node:fs/promises'
import { UsageError } from '@deepfever/core'
import { decodeSafetensors } from '@deepfever/formats'
import type { StateDict } from '@deepfever/formats'
import type { Picture } from '@deepfever/media'
import { oNet, rNet, toOnnx } from '@deepfever/models'
import { openSession } from '@deepfever/runtime'
import type { OnnxSession } from '@deepfever/runtime'
import { correct, pick, pickRows, regionOf, suppress, toSquares } from './boxes.ts'
import type { Candidates } from './boxes.ts'
import { foldProposals } from './proposal-network.ts'
import { propose } from './proposals.ts'
import { averageRegion, scalesOf, toIntegral } from './pyramid.ts'
import type { IntegralImage } from './pyramid.ts'

/** One face: `box` x1, y1, x2, y2 and `landmarks` five x, y pairs, in pixels of the picture. */
export interface Detection {
  readonly box: Float32Array
  readonly probability: number
  /** left eye, right eye, nose, left and right corner of the mouth, as seen in the picture */
  readonly landmarks: Float32Array
}

/** Settings that change what is found; the defaults are facenet-pytorch's. */
export interface DetectorOptions {
  readonly threads?: number
  /** pixels; smaller faces are not looked for */
  readonly minFace?: number
  /** least probability after P-Net, R-Net and O-Net */
  readonly thresholds?: readonly [number, number, number]
  /** ratio of neighbouring pictures of the pyramid, in (0, 1) */
  readonly factor?: number
}

/** An open detector; one picture at a time. */
export interface Detector {
  /** The faces of a picture, largest box first. */
  detect(image: Picture): Promise<Detection[]>
  close(): Promise<void>
}

const WEIGHTS = new URL('../../assets/mtcnn.safetensors', import.meta.url)
/** Crops of one run: enough to keep the cores busy, 3.5 MB of input. */
const CHUNK = 128
const OVERLAP = 0.7

/**
 * Opens MTCNN (Zhang et al. 2016) with facenet-pytorch's weights and arithmetic. What facenet-pytorch
 * gets wrong is put right: a picture smaller than `minFace` has no faces, and a box without pixels
 * is dropped everywhere.
 *
 * @throws UsageError for a setting outside its range
 */
export async function openDetector({
  threads = 1,
  minFace = 20,
  thresholds = [0.6, 0.7, 0.7],
  factor = 0.709,
}: DetectorOptions = {}): Promise<Detector> {
  if (!(minFace >= 1)) {
    throw new UsageError(`minFace is ${minFace}, expected at least 1 pixel`, { minFace })
  }
  if (!(factor > 0 && factor < 1)) {
    throw new UsageError(`factor is ${factor}, expected between 0 and 1`, { factor })
  }
  const { tensors } = decodeSafetensors(await readFile(WEIGHTS), 'mtcnn.safetensors')
  const options = { threads }
  const folded = foldProposals(under(tensors, 'pnet.'))
  const proposal = await openSession<'cells'>(toOnnx(folded.network, folded.state), options)
  const refinement = await openSession<'regression' | 'probability'>(
    toOnnx(rNet, under(tensors, 'rnet.')),
    options,
  )
  const output = await openSession<'regression' | 'probability' | 'landmarks'>(
    toOnnx(oNet, under(tensors, 'onet.')),
    options,
  )
  let buffer: Int32Array | undefined
  return {
    async detect(image) {
      const scales = scalesOf(image, minFace, factor)
      if (scales.length === 0) return []
      const integral = toIntegral(image, buffer)
      buffer = integral.sums
      const proposed = await propose(proposal, integral, scales, thresholds[0])
      const refined = await refine(refinement, integral, proposed, thresholds[1])
      return finish(output, integral, refined, thresholds[2])
    },
    async close() {
      await Promise.all([proposal.close(), refinement.close(), output.close()])
    },
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
  const whole = Array.from({ length: boxes.length / 4 }, (_, i) => i).filter(
    i => regionOf(boxes, i, integral) !== undefined,
  )
  const kept: number[] = []
  const scores: number[] = []
  const offsets: number[] = []
  const landmarks: number[] = []
  const plane = 3 * size * size
  const input = new Float32Array(Math.min(CHUNK, whole.length) * plane)
  for (let first = 0; first < whole.length; first += CHUNK) {
    const rows = whole.slice(first, first + CHUNK)
    rows.forEach((row, i) => {
      averageRegion(integral, regionOf(boxes, row, integral)!, size, input, i * plane)
    })
    const values = input.subarray(0, rows.length * plane)
    const found: Readonly<Record<string, { values: Float32Array }>> = await session.run({
      image: { shape: [rows.length, 3, size, size], values },
    })
    rows.forEach((row, i) => {
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

function under(tensors: StateDict, prefix: string): StateDict {
  return new Map(
    [...tensors]
      .filter(([key]) => key.startsWith(prefix))
      .map(([key, tensor]) => [key.slice(prefix.length), tensor]),
  )
}
