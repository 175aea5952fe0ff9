import type { OnnxSession } from '@deepfever/runtime/onnx'
import { joinCandidates, pick, suppress } from './boxes.ts'
import type { Candidates } from './boxes.ts'
import { averageWindows, windowsOf } from './pyramid.ts'
import type { IntegralImage } from './pyramid.ts'

const STRIDE = 2
const CELL = 12
/** Input rows that a band shares with the next: cell less stride. */
const OVERLAP = CELL - STRIDE
/** Input pixels of one run: P-Net then holds 15 MB; fewer cost time, more do not save any. */
const BAND_PIXELS = 131_072
/** Rows of cells of one run at least: below, most of a band is overlap. */
const BAND_CELLS = 16
const SCALE_OVERLAP = 0.5
const JOINT_OVERLAP = 0.7

/** The folded P-Net's session: `image` [1, 3, h, w] to `cells` [1, 5, h', w']. */
export type ProposalSession = OnnxSession<'cells'>

/**
 * Runs P-Net over the pyramid of a picture, in bands of rows so that memory does not grow with the
 * picture. A band gives the same cells as the whole: cells see 12 pixels and stand 2 apart.
 *
 * @param bandPixels input pixels of one run, about
 */
export async function propose(
  session: ProposalSession,
  integral: IntegralImage,
  scales: readonly number[],
  threshold: number,
  bandPixels = BAND_PIXELS,
): Promise<Candidates> {
  const parts: Candidates[] = []
  for (const scale of scales) {
    const found = await proposeAt(session, integral, scale, threshold, bandPixels)
    parts.push(pick(found, suppress(found.boxes, found.scores, SCALE_OVERLAP)))
  }
  const joint = joinCandidates(parts)
  return pick(joint, suppress(joint.boxes, joint.scores, JOINT_OVERLAP))
}

async function proposeAt(
  session: ProposalSession,
  integral: IntegralImage,
  scale: number,
  threshold: number,
  bandPixels: number,
): Promise<Candidates> {
  const height = Math.trunc(integral.height * scale + 1)
  const width = Math.trunc(integral.width * scale + 1)
  const rows = windowsOf(0, integral.height, height)
  const columns = windowsOf(0, integral.width, width)
  const bandCells = Math.max(BAND_CELLS, Math.floor((bandPixels / width - OVERLAP) / STRIDE))
  const bandRows = Math.min(height, bandCells * STRIDE + OVERLAP)
  const input = new Float32Array(3 * bandRows * width)
  const found: Found = { boxes: [], scores: [], offsets: [] }
  for (let first = 0; ; first += bandCells * STRIDE) {
    const last = Math.min(height, first + bandRows)
    const values = input.subarray(0, 3 * (last - first) * width)
    averageWindows(integral, rows, columns, values, { first, last })
    const output = await session.run({ image: { shape: [1, 3, last - first, width], values } })
    collect(found, output, first / STRIDE, scale, threshold)
    if (last === height) break
  }
  return {
    boxes: new Float32Array(found.boxes),
    scores: new Float32Array(found.scores),
    offsets: new Float32Array(found.offsets),
  }
}

interface Found {
  readonly boxes: number[]
  readonly scores: number[]
  readonly offsets: number[]
}

/** Adds the cells of one band whose score reaches the threshold; float32, as the reference. */
function collect(
  found: Found,
  { cells }: Awaited<ReturnType<ProposalSession['run']>>,
  firstRow: number,
  scale: number,
  threshold: number,
): void {
  const [, , high = 0, wide = 0] = cells.shape
  const plane = high * wide
  const single = Math.fround(scale)
  const least = Math.log(threshold / (1 - threshold))
  const place = (cell: number, far: number) =>
    Math.floor(Math.fround((STRIDE * cell + far) / single))
  for (let i = 0; i < plane; i++) {
    const logit = cells.values[4 * plane + i]!
    if (logit < least) continue
    const x = i % wide
    const y = firstRow + (i - x) / wide
    found.boxes.push(place(x, 1), place(y, 1), place(x, CELL), place(y, CELL))
    found.scores.push(1 / (1 + Math.exp(-logit)))
    for (let k = 0; k < 4; k++) found.offsets.push(cells.values[k * plane + i]!)
  }
}
