import { mapOrdered, type Context } from '@deepfever/core'
import type { FaceSet } from './face-set.ts'
import { findLeaks, type Leak, type ReadGreys } from './leakage.ts'
import type { Neighbours } from './neighbours.ts'
import { greyOf, pickSignatures, storeSignatures } from './picture-signatures.ts'
import type { LeakageRecord } from './report.ts'

/** Which faces of a set stand for training and for test, by their places in it. */
export interface GateInput {
  readonly faces: FaceSet
  readonly train: Int32Array
  readonly test: Int32Array
  /** by embedding, rows as in `train` and `test` */
  readonly neighbours?: Neighbours
  readonly cache: string
  readonly workers: number
}

/** Pairs that a report shows. */
const SHOWN = 20

/** Rows of `test` whose picture stands in `train` too. */
export async function gateLeaks(input: GateInput, context: Context): Promise<Leak[]> {
  const { faces, train, test, neighbours, cache, workers } = input
  const all = await storeSignatures(faces, cache, workers, context)
  const signatures = { train: pickSignatures(all, train), test: pickSignatures(all, test) }
  const readGreys: ReadGreys = async wanted => {
    const rowOf = {
      train: new Map([...wanted.train].map(row => [train[row]!, row])),
      test: new Map([...wanted.test].map(row => [test[row]!, row])),
    }
    const greys = { train: new Map<number, Uint8Array>(), test: new Map<number, Uint8Array>() }
    const bar = context.log.progress('pictures compared', rowOf.train.size + rowOf.test.size)
    const read = async function* () {
      let place = 0
      for await (const face of faces.rows()) {
        const rows = [rowOf.train.get(place), rowOf.test.get(place)] as const
        if (rows.some(row => row !== undefined)) yield { face, rows }
        place++
      }
    }
    const looked = mapOrdered(read(), workers * 4, async ({ face, rows }) => ({
      ...{ rows, grey: await greyOf(face) },
    }))
    for await (const { rows, grey } of looked) {
      context.checkpoint()
      bar.advance()
      if (grey === undefined) continue
      const whole = Uint8Array.from(grey, Math.round)
      const [inTrain, inTest] = rows
      if (inTrain !== undefined) greys.train.set(inTrain, whole)
      if (inTest !== undefined) greys.test.set(inTest, whole)
    }
    bar.done()
    return greys
  }
  return findLeaks({ ...signatures, neighbours }, readGreys)
}

/**
 * What a report says about leaks.
 *
 * @param names of test and training rows
 */
export const toLeakageRecord = (
  leaks: readonly Leak[],
  tested: number,
  names: { readonly train: readonly string[]; readonly test: readonly string[] },
): LeakageRecord => ({
  tested,
  leaked: leaks.length,
  examples: leaks.slice(0, SHOWN).map(leak => ({
    ...{ test: names.test[leak.test]!, train: names.train[leak.train]! },
    ...{ bits: leak.bits, likeness: leak.likeness },
  })),
})
