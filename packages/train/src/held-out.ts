import { toNetwork } from '@deepfever/models'
import { forward, kernelsOf, loadParameters } from '@deepfever/models/tfjs'
import type { StateDict } from '@deepfever/formats'
import { tf, type Backend } from '@deepfever/runtime'
import type { Batches } from './batches.ts'
import type { Experiment } from './experiment.ts'
import type { TripletTable } from './triplet-table.ts'

/** Faces a forward pass. */
const BLOCK = 64

/**
 * Share of held-out triplets whose similar pair is strictly nearer to each other than either is to
 * the odd face, by the `fec` head as it stands; undefined without triplets. Their faces may occur
 * in training triplets: a measure of progress, not of generalisation.
 */
export async function heldOutAccuracy(
  weights: StateDict,
  { network: specification }: Experiment,
  triplets: TripletTable,
  load: Batches['load'],
  backend: Backend,
): Promise<number | undefined> {
  if (triplets.length === 0) return undefined
  const network = toNetwork(specification)
  const indices = [...Array(triplets.length).keys()]
  const rows = [...new Set(indices.flatMap(i => triplets.rowsOf(i)))]
  const vectors = new Map<number, Float32Array>()
  const parameters = loadParameters(network, weights)
  const kernels = kernelsOf(backend)
  const { size } = specification
  try {
    for (let start = 0; start < rows.length; start += BLOCK) {
      const block = rows.slice(start, start + BLOCK)
      const images = await load(block)
      const output = tf.tidy(() => {
        const input = tf.tensor4d(images, [block.length, size, size, 3])
        return tf.keep(forward(network, input, parameters, { kernels }).outputs['fec']!)
      })
      const width = output.shape[1]!
      const values = (await output.data()) as Float32Array
      output.dispose()
      for (const [i, row] of block.entries())
        vectors.set(row, toUnit(values.slice(i * width, (i + 1) * width)))
    }
  } finally {
    tf.dispose([...parameters.values()])
  }
  const isRight = (index: number): boolean => {
    const three = triplets.rowsOf(index).map(row => vectors.get(row)!)
    const [odd] = three.splice(triplets.oddOf(index), 1)
    const [a, b] = three as [Float32Array, Float32Array]
    const similar = distance(a, b)
    return similar < distance(a, odd!) && similar < distance(b, odd!)
  }
  return indices.filter(isRight).length / triplets.length
}

function toUnit(vector: Float32Array): Float32Array {
  const length = Math.max(1e-12, Math.hypot(...vector))
  return vector.map(value => value / length)
}

const distance = (a: Float32Array, b: Float32Array): number =>
  a.reduce((sum, value, i) => sum + (value - b[i]!) ** 2, 0)
