import type { Batches } from './batches.ts'
import type { Trainer } from './trainer.ts'
import type { TripletTable } from './triplet-table.ts'

/**
 * Share of held-out triplets whose similar pair is strictly nearer to each other than either is to
 * the odd face, by the `fec` head as it stands; undefined without triplets. Their faces may occur
 * in training triplets: a measure of progress, not of generalisation.
 *
 * @param atOnce faces a call; a compiled trainer fills what lacks to a training batch
 */
export async function heldOutAccuracy(
  trainer: Trainer,
  triplets: TripletTable,
  load: Batches['load'],
  { size, atOnce }: { readonly size: number; readonly atOnce: number },
): Promise<number | undefined> {
  if (triplets.length === 0) return undefined
  const indices = [...Array(triplets.length).keys()]
  const rows = [...new Set(indices.flatMap(i => triplets.rowsOf(i)))]
  const vectors = new Map<number, Float32Array>()
  for (let start = 0; start < rows.length; start += atOnce) {
    const block = rows.slice(start, start + atOnce)
    const values = (await trainer.evaluate(await load(block), size))['fec']!
    const width = values.length / block.length
    for (const [i, row] of block.entries())
      vectors.set(row, toUnit(values.slice(i * width, (i + 1) * width)))
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
