import { findCandidates, type Candidate } from './leak-candidates.ts'
import type { Neighbours } from './neighbours.ts'
import { CERTAIN, likeness, toComparable, type Comparable } from './picture-likeness.ts'
import type { Signatures } from './picture-signatures.ts'

/** Pictures this alike are one picture: two people of a studio set reach 0.79, cut copies 0.9. */
const ALIKE = 0.88

/** What the gate looks at. */
export interface LeakInput {
  readonly train: Signatures
  readonly test: Signatures
  /** nearest training rows of each test row by embedding, where there is one */
  readonly neighbours?: Neighbours | undefined
}

/** A test face and the training face of the same picture. */
export interface Leak extends Candidate {
  /** 0.88 to 1 */
  readonly likeness: number
}

/** Luminance of the named rows, 48 x 48 whole numbers; rows that cannot be decoded are left out. */
export type ReadGreys = (wanted: {
  readonly train: ReadonlySet<number>
  readonly test: ReadonlySet<number>
}) => Promise<Record<'train' | 'test', ReadonlyMap<number, Uint8Array>>>

/**
 * Test faces whose picture is in training too, mirrored, cut or compressed again: candidates by
 * hash, thumbnail and embedding, compared as pictures.
 *
 * @returns for each leaked test row its most alike training row, in order
 */
export async function findLeaks(
  { train, test, neighbours }: LeakInput,
  readGreys: ReadGreys,
): Promise<Leak[]> {
  const pairs = await findCandidates(train, test, neighbours)
  const greys = await readGreys({
    train: new Set(pairs.map(pair => pair.train)),
    test: new Set(pairs.map(pair => pair.test)),
  })
  const best = new Map<number, Leak>()
  let own: { readonly row: number; readonly picture: Comparable | undefined } | undefined
  for (const pair of pairs) {
    const known = best.get(pair.test)
    if (known && known.likeness >= CERTAIN) continue
    if (own?.row !== pair.test) {
      const grey = greys.test.get(pair.test)
      own = { row: pair.test, picture: grey && toComparable(Float32Array.from(grey)) }
    }
    const other = greys.train.get(pair.train)
    if (!own.picture || !other) continue
    const found = likeness(own.picture, Float32Array.from(other))
    if (found >= (known?.likeness ?? ALIKE)) best.set(pair.test, { ...pair, likeness: found })
  }
  return [...best.values()]
}
