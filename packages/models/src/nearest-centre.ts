import { openSession, writeOnnxModel } from '@deepfever/runtime/onnx'

/** Points whose distances are held at once. */
const BLOCK = 4096

/** Assigns points to centres. */
export interface CentreSearch {
  /**
   * The nearest centre of each point, the first of equal ones.
   *
   * @param points [rows, span]
   * @param centres [levels, span]
   */
  nearest(points: Float32Array, centres: Float32Array): Promise<Uint8Array>
  close(): Promise<void>
}

/**
 * Opens a search among at most 256 centres: one matrix product a block of points, as
 * |p - c|² orders centres as |c|² / 2 - p c does.
 */
export async function openCentreSearch(span: number): Promise<CentreSearch> {
  const session = await openSession<'level'>(model(span), { threads: 1 })
  return {
    async nearest(points, centres) {
      const levels = centres.length / span
      const turned = new Float32Array(centres.length)
      const halves = new Float32Array(levels)
      for (let i = 0; i < levels; i++)
        for (let d = 0; d < span; d++) {
          const value = centres[i * span + d]!
          turned[d * levels + i] = value
          halves[i]! += (value * value) / 2
        }
      const inputs = {
        centres: { shape: [span, levels], values: turned },
        halves: { shape: [levels], values: halves },
      }
      const found = new Uint8Array(points.length / span)
      for (let first = 0; first < found.length; first += BLOCK) {
        const rows = Math.min(BLOCK, found.length - first)
        const values = points.subarray(first * span, (first + rows) * span)
        const { level } = await session.run({ points: { shape: [rows, span], values }, ...inputs })
        found.set(level.values, first)
      }
      return found
    },
    close: () => session.close(),
  }
}

const FLOAT32 = 1

const model = (span: number): Uint8Array =>
  writeOnnxModel({
    name: 'nearest',
    inputs: [
      { name: 'points', type: 'float32', shape: ['rows', span] },
      { name: 'centres', type: 'float32', shape: [span, 'levels'] },
      { name: 'halves', type: 'float32', shape: ['levels'] },
    ],
    outputs: [{ name: 'level', type: 'float32', shape: ['rows'] }],
    constants: [],
    nodes: [
      { op: 'MatMul', inputs: ['points', 'centres'], outputs: ['products'] },
      { op: 'Sub', inputs: ['products', 'halves'], outputs: ['nearness'] },
      {
        ...{ op: 'ArgMax', inputs: ['nearness'], outputs: ['place'] },
        attributes: { axis: -1, keepdims: 0 },
      },
      { op: 'Cast', inputs: ['place'], outputs: ['level'], attributes: { to: FLOAT32 } },
    ],
  })
