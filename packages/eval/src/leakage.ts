import type { Neighbours } from './neighbours.ts'
import { bitCount } from './picture-hash.ts'
import { CERTAIN, likeness, toComparable, type Comparable } from './picture-likeness.ts'

/** Hashes this near are compared as pictures, of any two faces. */
const NEAR_BITS = 8
/** Pictures this alike are one picture: two people of a studio set reach 0.79, cut copies 0.92. */
const ALIKE = 0.88

/** Hashes of faces: four words a face, see `hashOf`; zeros where a picture cannot be decoded. */
export interface HashedParts {
  readonly train: Uint32Array
  readonly test: Uint32Array
}

/** A test face and the training face of the same picture. */
export interface Leak {
  readonly test: number
  readonly train: number
  /** bits of the hash that differ */
  readonly bits: number
  /** 0.88 to 1 */
  readonly likeness: number
}

/** Luminance of the named rows, 48 x 48; rows that cannot be decoded are left out. */
export type ReadGreys = (wanted: {
  readonly train: ReadonlySet<number>
  readonly test: ReadonlySet<number>
}) => Promise<Record<'train' | 'test', ReadonlyMap<number, Float32Array>>>

/**
 * Test faces whose picture is in training too, mirrored, cut or compressed again: by perceptual
 * hash, then by embedding, then by comparing the pictures.
 *
 * @param neighbours nearest training rows of each test row, by embedding
 * @returns for each leaked test row its most alike training row, in order
 */
export async function findLeaks(
  hashes: HashedParts,
  neighbours: Neighbours,
  readGreys: ReadGreys,
): Promise<Leak[]> {
  const pairs = candidatesOf(hashes, neighbours)
  const greys = await readGreys({
    train: new Set(pairs.map(({ train }) => train)),
    test: new Set(pairs.map(({ test }) => test)),
  })
  const best = new Map<number, Leak>()
  const train = lazily(greys.train)
  const test = lazily(greys.test)
  for (const pair of pairs) {
    if ((best.get(pair.test)?.likeness ?? 0) >= CERTAIN) continue
    const [a, b] = [test(pair.test), train(pair.train)]
    if (a === undefined || b === undefined) continue
    const found = likeness(a, b)
    const known = best.get(pair.test)?.likeness ?? ALIKE
    if (found >= known) best.set(pair.test, { ...pair, likeness: found })
  }
  return [...best.values()].sort((a, b) => a.test - b.test)
}

function lazily(greys: ReadonlyMap<number, Float32Array>) {
  const made = new Map<number, Comparable>()
  return (row: number): Comparable | undefined => {
    const grey = greys.get(row)
    if (grey === undefined || made.has(row)) return made.get(row)
    const one = toComparable(grey)
    made.set(row, one)
    return one
  }
}

type Candidate = Pick<Leak, 'test' | 'train' | 'bits'>

/** Candidates by hash of one test row, the nearest first; bounds the work where hashes are alike. */
const MOST = 20

function candidatesOf({ train, test }: HashedParts, { k, rows }: Neighbours): Candidate[] {
  const candidates: Candidate[] = []
  for (let row = 0; row < test.length / 4; row++) {
    const words = test.subarray(row * 4, row * 4 + 4)
    if (!words.some(word => word !== 0)) continue
    const near = new Set(nearBits(train, words))
    for (let i = 0; i < k; i++) near.add(rows[row * k + i]!)
    const own = [...near].map(other => ({
      ...{ test: row, train: other, bits: bitsApart(train, other, words) },
    }))
    // The likeliest first: a certain one spares the others.
    candidates.push(...own.sort((a, b) => a.bits - b.bits || a.train - b.train))
  }
  return candidates
}

/** Training rows of the nearest hashes, theirs or their mirror image's. */
function nearBits(train: Uint32Array, words: Uint32Array): number[] {
  const near: { readonly row: number; readonly bits: number }[] = []
  for (let row = 0; row < train.length / 4; row++) {
    const bits = bitsApart(train, row, words)
    if (bits <= NEAR_BITS && (train[row * 4] !== 0 || train[row * 4 + 1] !== 0))
      near.push({ row, bits })
  }
  near.sort((one, other) => one.bits - other.bits || one.row - other.row)
  return near.slice(0, MOST).map(({ row }) => row)
}

function bitsApart(train: Uint32Array, row: number, words: Uint32Array): number {
  const high = train[row * 4]!
  const low = train[row * 4 + 1]!
  return Math.min(
    bitCount(high ^ words[0]!) + bitCount(low ^ words[1]!),
    bitCount(high ^ words[2]!) + bitCount(low ^ words[3]!),
  )
}
