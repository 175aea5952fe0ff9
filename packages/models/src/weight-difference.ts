import { openSession } from '@deepfever/runtime/onnx'
import type { ModelContract } from './export.ts'

/** What a smaller form of a model costs and saves, measured. */
export interface WeightDifference {
  readonly crops: number
  /** where the crops come from */
  readonly of: string
  readonly exactBytes: number
  readonly smallBytes: number
  /** cosine between the two embeddings of a crop */
  readonly cosine: { readonly mean: number; readonly least: number }
  /** share of crops for which the most probable class is the same */
  readonly sameClass: number
  /** time of the smaller form over the exact one's, median of runs that took turns, one thread */
  readonly timeRatio: number
}

/** Pairs of timings, and the least length of one: a tiny network's single run is all noise. */
const PAIRS = 9
const LEAST_MS = 50
const BATCH = 16

/**
 * Runs both forms over the crops.
 *
 * @param crops RGB bytes with channels last, each of the contract's size
 */
export async function measureWeights(
  exact: Uint8Array,
  small: Uint8Array,
  { input }: ModelContract,
  crops: readonly Uint8Array[],
  of: string,
): Promise<WeightDifference> {
  const sessions = [
    await openSession<'embedding' | 'expression'>(exact, { threads: 1 }),
    await openSession<'embedding' | 'expression'>(small, { threads: 1 }),
  ] as const
  const cosines: number[] = []
  let same = 0
  const ratios: number[] = []
  for (let first = 0; first < crops.length; first += BATCH) {
    const image = toBatch(crops.slice(first, first + BATCH), input)
    const rows = image.shape[0]!
    const [a, b] = [await sessions[0].run({ image }), await sessions[1].run({ image })]
    for (let row = 0; row < rows; row++) {
      const pair = (name: 'embedding' | 'expression') =>
        [a, b].map(({ [name]: { values } }) => {
          const width = values.length / rows
          return values.subarray(row * width, (row + 1) * width)
        }) as [Float32Array, Float32Array]
      cosines.push(cosineOf(...pair('embedding')))
      const [mine, other] = pair('expression').map(p => p.indexOf(Math.max(...p)))
      if (mine === other) same++
    }
    if (first > 0) continue
    const timed = async (session: (typeof sessions)[0], runs: number) => {
      const start = performance.now()
      for (let run = 0; run < runs; run++) await session.run({ image })
      return performance.now() - start
    }
    const runs = Math.max(1, Math.ceil(LEAST_MS / (await timed(sessions[0], 1))))
    await timed(sessions[1], runs)
    for (let pair = 0; pair < PAIRS; pair++) {
      const before = await timed(sessions[0], runs)
      ratios.push((await timed(sessions[1], runs)) / before)
    }
  }
  await Promise.all(sessions.map(session => session.close()))
  return {
    ...{ crops: crops.length, of, exactBytes: exact.length, smallBytes: small.length },
    cosine: {
      mean: cosines.reduce((sum, c) => sum + c, 0) / cosines.length,
      least: Math.min(...cosines),
    },
    sameClass: same / crops.length,
    timeRatio: ratios.sort((x, y) => x - y)[PAIRS >> 1]!,
  }
}

/** Crops as the contract wants them. */
function toBatch(crops: readonly Uint8Array[], { size, type, layout }: ModelContract['input']) {
  const [height, width] = size
  const pixels = height * width
  const bytes = new Uint8Array(crops.length * pixels * 3)
  crops.forEach((crop, row) => {
    const at = row * pixels * 3
    if (layout === 'nhwc') bytes.set(crop, at)
    else
      for (let i = 0; i < pixels * 3; i++) bytes[at + (i % 3) * pixels + ((i / 3) | 0)] = crop[i]!
  })
  const shape =
    layout === 'nhwc' ? [crops.length, height, width, 3] : [crops.length, 3, height, width]
  return { shape, values: type === 'uint8' ? bytes : Float32Array.from(bytes) }
}

function cosineOf(a: Float32Array, b: Float32Array): number {
  let [ab, aa, bb] = [0, 0, 0]
  a.forEach((value, i) => {
    ab += value * b[i]!
    aa += value * value
    bb += b[i]! * b[i]!
  })
  return ab / Math.sqrt(aa * bb)
}
