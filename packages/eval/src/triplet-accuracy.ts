import { ShapeError } from '@deepfever/core'

/** A triplet whose faces are rows of an embedding matrix; -1 where a face is missing. */
export interface TripletRows {
  readonly rows: readonly [number, number, number]
  /** 0, 1 or 2: the face that differs */
  readonly odd: number
  readonly kind: string
  /** a face of it shows a training picture: answered, but not counted */
  readonly leaked?: boolean
}

/** Triplet accuracy of one kind of triplet, or of all. */
export interface TripletScore {
  readonly kind: string
  /** triplets judged */
  readonly n: number
  readonly correct: number
  /** null when no triplet was judged */
  readonly accuracy: number | null
  /** triplets left out because a face is missing */
  readonly missing: number
  /** triplets left out because a face of theirs shows a training picture */
  readonly leaked: number
}

/** Triplet accuracy over all and by kind; `outcomes` holds 1 or 0 for each triplet judged. */
export interface TripletScores {
  readonly overall: TripletScore
  readonly kinds: readonly TripletScore[]
  readonly outcomes: Uint8Array
  /** of every triplet: the face taken for the odd one, -1 where a face is missing */
  readonly answers: Int32Array
}

/**
 * Share of triplets whose similar pair is strictly nearer to each other than either is to the odd
 * face, on L2-normalised embeddings (Vemulapalli & Agarwala 2019). Chance is 1/3.
 *
 * @param vectors raw outputs, float32 [n, width]
 * @param lost triplets by kind that lost a face before there were vectors; counted as missing
 * @throws ShapeError when a triplet names a row that is not there
 */
export function scoreTriplets(
  triplets: readonly TripletRows[],
  vectors: Float32Array,
  width: number,
  lost: Readonly<Record<string, number>> = {},
): TripletScores {
  const unit = normaliseRows(vectors, width)
  const tallies = new Map<string, { -readonly [key in keyof Counts]: number }>(
    Object.entries(lost).map(([kind, missing]) => [kind, { ...emptyTally, missing }]),
  )
  const answers = new Int32Array(triplets.length).fill(-1)
  const outcomes: number[] = []
  for (const [index, { rows, odd, kind, leaked }] of triplets.entries()) {
    const tally = tallies.get(kind) ?? { ...emptyTally }
    tallies.set(kind, tally)
    const [first, second] = rows.filter((_, place) => place !== odd)
    const third = rows[odd]
    if (first === undefined || second === undefined || third === undefined) {
      throw new ShapeError(`triplet ${index} has odd face ${odd}, expected 0, 1 or 2`, {
        index,
        odd,
      })
    }
    const beyond = rows.find(row => (row + 1) * width > unit.length)
    if (beyond !== undefined) {
      throw new ShapeError(
        `triplet ${index} names row ${beyond}, expected below ${unit.length / width}`,
        { index, row: beyond },
      )
    }
    if (rows.some(row => row < 0)) {
      tally.missing++
      continue
    }
    const pair = distance(unit, first, second, width)
    const [toFirst, toSecond] = [first, second].map(row => distance(unit, row, third, width))
    const correct = pair < toFirst! && pair < toSecond!
    // The face opposite the closest pair; of equal distances not the odd one, which is wrong too.
    const taken = toFirst! < toSecond! ? second : first
    answers[index] = correct ? odd : rows.indexOf(taken)
    if (leaked) {
      tally.leaked++
      continue
    }
    tally.n++
    if (correct) tally.correct++
    outcomes.push(correct ? 1 : 0)
  }
  const kinds = [...tallies]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([kind, tally]) => toScore(kind, tally))
  const total = (key: keyof Counts) => kinds.reduce((sum, one) => sum + one[key], 0)
  const overall = {
    ...{ n: total('n'), correct: total('correct') },
    ...{ missing: total('missing'), leaked: total('leaked') },
  }
  return { overall: toScore('all', overall), kinds, outcomes: Uint8Array.from(outcomes), answers }
}

type Counts = Pick<TripletScore, 'n' | 'correct' | 'missing' | 'leaked'>
const emptyTally: Counts = { n: 0, correct: 0, missing: 0, leaked: 0 }

const toScore = (kind: string, counts: Counts): TripletScore => ({
  ...{ kind, ...counts },
  accuracy: counts.n === 0 ? null : counts.correct / counts.n,
})

function normaliseRows(vectors: Float32Array, width: number): Float64Array {
  const unit = Float64Array.from(vectors)
  for (let from = 0; from < unit.length; from += width) {
    const row = unit.subarray(from, from + width)
    const norm = Math.max(1e-12, Math.hypot(...row))
    for (let j = 0; j < width; j++) row[j]! /= norm
  }
  return unit
}

function distance(unit: Float64Array, a: number, b: number, width: number): number {
  let sum = 0
  for (let j = 0; j < width; j++) sum += (unit[a * width + j]! - unit[b * width + j]!) ** 2
  return sum
}
