import { createHash } from 'node:crypto'
import { FormatError } from '@deepfever/core'
import { readCsv } from '@deepfever/formats'
import type { FecTriplet } from './fec.ts'

const HEAD = 'tripletId,digest'

/** 64 bits over faces (photograph and box) and vote: a row number alone may be of another list. */
const digestOfTriplet = ({ faces, odd, kind }: FecTriplet): string =>
  createHash('sha256')
    .update([...faces, odd, kind].join('\0'))
    .digest('hex')
    .slice(0, 16)

/** Lines `tripletId,digest` of triplets in their order, as two laboratories exchange them. */
export const encodeTripletList = (triplets: readonly FecTriplet[]): string =>
  [HEAD, ...triplets.map(triplet => `${triplet.id},${digestOfTriplet(triplet)}`), ''].join('\n')

/**
 * Reads a list of triplets that `encodeTripletList` wrote elsewhere.
 *
 * @returns those of `triplets` that the list has too
 * @throws FormatError naming the line that is none
 * @throws FormatError when an id stands for other faces or another vote there: another list
 */
export async function commonTriplets(
  triplets: readonly FecTriplet[],
  place: string,
): Promise<FecTriplet[]> {
  const theirs = new Map<string, string>()
  let line = 0
  for await (const cells of readCsv(place)) {
    line++
    if (line === 1 && cells.join(',') === HEAD) continue
    const [id = '', digest = ''] = cells
    if (cells.length !== 2 || !/^fec:(train|test)-\d+$/.test(id) || !/^[0-9a-f]{16}$/.test(digest))
      throw new FormatError(
        `${place}: line ${line}: found ${cells.join(',').slice(0, 80)}, wanted ${HEAD}`,
        { place, line, wanted: HEAD },
      )
    theirs.set(id, digest)
  }
  return triplets.filter(triplet => {
    const digest = theirs.get(triplet.id)
    if (digest === undefined) return false
    if (digest === digestOfTriplet(triplet)) return true
    throw new FormatError(
      `${place}: ${triplet.id} has digest ${digest}, here ${digestOfTriplet(triplet)}: made from ` +
        'another copy of the lists; compare the digests of the CSV files',
      { place, triplet: triplet.id, found: digest, wanted: digestOfTriplet(triplet) },
    )
  })
}
