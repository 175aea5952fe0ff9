import { createHash } from 'node:crypto'
import { openFecPictures, type FoundPicture } from './fec-pictures.ts'
import { mergeVotes, readFecRows, type Vote } from './fec-rows.ts'
import type { LabelledPicture, ReadReject, Reading } from './labelled.ts'
import type { Source } from './source.ts'

/** Three faces by picture id, and the annotators' vote. */
export interface FecTriplet extends Vote {
  readonly id: string
  readonly faces: readonly [string, string, string]
  readonly kind: string
  readonly split: 'train' | 'test'
}

/** Google FEC, read whole: the faces that triplets name, and the triplets with a clear vote. */
export interface Fec {
  /** in order of first mention; a photograph with two boxes is two faces */
  readonly readings: readonly Reading[]
  readonly triplets: readonly FecTriplet[]
  /** rows turned away: `weak_agreement`, `bad_row`, or the code of their first missing picture */
  readonly rejects: readonly ReadReject[]
}

/** A face is a photograph and a box: the same address may stand with several boxes. */
const faceIdOf = (split: string, url: string, box: readonly string[]): string =>
  `fec:${createHash('sha256')
    .update([split, url, ...box].join('\0'))
    .digest('hex')
    .slice(0, 16)}`

/**
 * Reads both lists of Google FEC with their pictures, see `openFecPictures`.
 *
 * @throws StageError when the folder has no list
 */
export async function readFec(source: Source): Promise<Fec> {
  const find = await openFecPictures(source)
  const readings = new Map<string, Reading>()
  const triplets: FecTriplet[] = []
  const rejects: ReadReject[] = []
  for await (const { id, split, row } of readFecRows(source)) {
    const vote = row && mergeVotes(row.answers)
    if (!row || !vote) {
      rejects.push({ id, code: row ? 'weak_agreement' : 'bad_row' })
      continue
    }
    let lost: string | undefined
    const faces = row.faces.map(({ url, cells: box }) => {
      const faceId = faceIdOf(split, url, box)
      const reading = readings.get(faceId) ?? toReading(faceId, find(url), box, split)
      readings.set(faceId, reading)
      if ('reject' in reading) lost ??= reading.reject.code
      return faceId
    }) as [string, string, string]
    if (lost !== undefined) rejects.push({ id, code: lost, split, kind: row.kind })
    else triplets.push({ id, faces, kind: row.kind, split, ...vote })
  }
  return { readings: [...readings.values()], triplets, rejects }
}

function toReading(
  id: string,
  found: FoundPicture,
  cells: readonly string[],
  split: LabelledPicture['split'],
): Reading {
  if ('code' in found) return { reject: { id, code: found.code } }
  const [left, right, top, bottom] = cells.map(Number) as [number, number, number, number]
  const box = [left, top, right, bottom] as const
  return { picture: { id, path: found.path, box, relative: true, label: -1, split } }
}
