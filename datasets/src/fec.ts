import { createHash } from 'node:crypto'
import { basename, join } from 'node:path'
import { StageError } from '@deepfever/core'
import { readCsv } from '@deepfever/formats'
import type { LabelledPicture, ReadReject, Reading } from './labelled.ts'
import type { Source } from './source.ts'

const LIST = /^(?:.*\/)?faceexp-comparison-data-(train|test)-public\.csv$/
const KINDS = ['ONE_CLASS_TRIPLET', 'TWO_CLASS_TRIPLET', 'THREE_CLASS_TRIPLET']
const PICTURE = /\.(jpe?g|png|gif|webp)$/i

/** Three faces by picture id, and the annotators' vote. */
export interface FecTriplet {
  readonly id: string
  readonly faces: readonly [string, string, string]
  readonly odd: 0 | 1 | 2
  readonly kind: string
  readonly votesFor: number
  readonly votesTotal: number
  readonly split: 'train' | 'test'
}

/** Google FEC, read whole: the faces that triplets name, and the triplets with a clear vote. */
export interface Fec {
  /** in order of first mention; a photograph with two boxes is two faces */
  readonly readings: readonly Reading[]
  readonly triplets: readonly FecTriplet[]
  /** rows turned away: `weak_agreement`, `bad_row`, `missing_picture` */
  readonly rejects: readonly ReadReject[]
}

/**
 * The vote of a row, or undefined without strong agreement: the most frequent answer must have at
 * least two thirds of all votes, however many annotators there were (Vemulapalli and Agarwala 2019).
 */
export function mergeVotes(
  answers: readonly number[],
): { odd: 0 | 1 | 2; votesFor: number; votesTotal: number } | undefined {
  const counts = [0, 0, 0]
  for (const answer of answers) counts[answer - 1]!++
  const votesFor = Math.max(...counts)
  if (answers.length === 0 || 3 * votesFor < 2 * answers.length) return undefined
  return { odd: counts.indexOf(votesFor) as 0 | 1 | 2, votesFor, votesTotal: answers.length }
}

/** A face is a photograph and a box: the same address may stand with several boxes. */
const faceIdOf = (split: string, url: string, box: readonly string[]): string =>
  `fec:${createHash('sha256')
    .update([split, url, ...box].join('\0'))
    .digest('hex')
    .slice(0, 16)}`

interface Row {
  readonly faces: readonly { readonly url: string; readonly cells: readonly string[] }[]
  readonly kind: string
  readonly answers: readonly number[]
}

/** Columns: three times address, left, right, top, bottom; kind; then annotator and answer pairs. */
function parseRow(row: readonly string[]): Row | undefined {
  const kind = row[15] ?? ''
  const faces = [0, 5, 10].map(at => ({ url: row[at]!, cells: row.slice(at + 1, at + 5) }))
  const answers = row
    .slice(16)
    .filter((_, i) => i % 2 === 1)
    .map(Number)
  const sound =
    row.length >= 18 &&
    KINDS.includes(kind) &&
    answers.every(answer => [1, 2, 3].includes(answer)) &&
    faces.every(({ cells }) => {
      const [left, right, top, bottom] = cells.map(Number) as [number, number, number, number]
      return left >= 0 && left < right && right <= 1 && top >= 0 && top < bottom && bottom <= 1
    })
  return sound ? { faces, kind, answers } : undefined
}

/**
 * Reads both lists of Google FEC. Pictures are looked up by the last part of their address.
 *
 * @throws StageError when the folder has no list
 */
export async function readFec(source: Source): Promise<Fec> {
  const lists = source.files.filter(file => LIST.test(file.path))
  if (lists.length === 0)
    throw new StageError(
      `${source.root}: no FEC here: faceexp-comparison-data-train-public.csv is missing`,
      { root: source.root },
    )
  const byName = new Map(
    source.files.filter(f => PICTURE.test(f.path)).map(f => [basename(f.path), f.path]),
  )
  const readings = new Map<string, Reading>()
  const triplets: FecTriplet[] = []
  const rejects: ReadReject[] = []
  for (const { path } of lists) {
    const split = LIST.exec(path)![1] as 'train' | 'test'
    let line = 0
    for await (const cells of readCsv(join(source.root, path))) {
      const id = `fec:${split}-${++line}`
      const row = parseRow(cells)
      const vote = row && mergeVotes(row.answers)
      if (!row || !vote) {
        rejects.push({ id, code: row ? 'weak_agreement' : 'bad_row' })
        continue
      }
      const faces = row.faces.map(({ url, cells: box }) => {
        const faceId = faceIdOf(split, url, box)
        if (!readings.has(faceId)) readings.set(faceId, toReading(faceId, url, box, split, byName))
        return faceId
      })
      if (faces.some(faceId => 'reject' in readings.get(faceId)!))
        rejects.push({ id, code: 'missing_picture' })
      else
        triplets.push({
          id,
          faces: faces as [string, string, string],
          kind: row.kind,
          split,
          ...vote,
        })
    }
  }
  return { readings: [...readings.values()], triplets, rejects }
}

function toReading(
  id: string,
  url: string,
  cells: readonly string[],
  split: LabelledPicture['split'],
  byName: ReadonlyMap<string, string>,
): Reading {
  const path = byName.get(basename(url.split(/[?#]/)[0]!))
  if (path === undefined) return { reject: { id, code: 'missing_picture' } }
  const [left, right, top, bottom] = cells.map(Number) as [number, number, number, number]
  return {
    picture: { id, path, box: [left, top, right, bottom], relative: true, label: -1, split },
  }
}
