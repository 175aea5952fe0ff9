import { join } from 'node:path'
import { StageError } from '@deepfever/core'
import { readList } from './annotation-list.ts'
import type { Source } from './source.ts'

const LIST = /^(?:.*\/)?faceexp-comparison-data-(train|test)-public\.csv$/
const KINDS = ['ONE_CLASS_TRIPLET', 'TWO_CLASS_TRIPLET', 'THREE_CLASS_TRIPLET']

/** A row of Google FEC's lists; `row` is undefined where it cannot be read. */
export interface FecRow {
  /** `fec:<split>-<row of the CSV>` */
  readonly id: string
  readonly split: 'train' | 'test'
  readonly row: ParsedRow | undefined
}

interface ParsedRow {
  readonly faces: readonly { readonly url: string; readonly cells: readonly string[] }[]
  readonly kind: string
  readonly answers: readonly number[]
}

/** The odd face of three, and how many of how many annotators named it. */
export interface Vote {
  readonly odd: 0 | 1 | 2
  readonly votesFor: number
  readonly votesTotal: number
}

/**
 * The vote of a row, or undefined without strong agreement: the most frequent answer must have at
 * least two thirds of all votes, however many annotators there were (Vemulapalli and Agarwala 2019).
 */
export function mergeVotes(answers: readonly number[]): Vote | undefined {
  const counts = [0, 0, 0]
  for (const answer of answers) counts[answer - 1]!++
  const votesFor = Math.max(...counts)
  if (answers.length === 0 || 3 * votesFor < 2 * answers.length) return undefined
  return { odd: counts.indexOf(votesFor) as 0 | 1 | 2, votesFor, votesTotal: answers.length }
}

/**
 * Columns: three times address, left, right, top, bottom; kind; then annotator and answer pairs,
 * normally six, in some rows more. An annotator without an answer is a row that was cut off.
 */
function parseRow(cells: readonly string[]): ParsedRow | undefined {
  const kind = cells[15] ?? ''
  const faces = [0, 5, 10].map(at => ({ url: cells[at]!, cells: cells.slice(at + 1, at + 5) }))
  const answers = cells
    .slice(16)
    .filter((_, i) => i % 2 === 1)
    .map(Number)
  const sound =
    cells.length >= 18 &&
    cells.length % 2 === 0 &&
    KINDS.includes(kind) &&
    answers.every(answer => [1, 2, 3].includes(answer)) &&
    faces.every(({ url, cells: box }) => {
      const [left, right, top, bottom] = box.map(Number) as [number, number, number, number]
      const inside = left >= 0 && left < right && right <= 1 && top >= 0
      return /^[^\s"\ufffd]+$/.test(url) && inside && top < bottom && bottom <= 1
    })
  return sound ? { faces, kind, answers } : undefined
}

/**
 * The rows of both lists of Google FEC, streamed.
 *
 * @throws StageError when the folder has no list
 * @throws FormatError when a list is not UTF-8 or is cut off inside a quoted cell
 */
export async function* readFecRows(source: Source): AsyncGenerator<FecRow> {
  const lists = source.files.filter(file => LIST.test(file.path))
  if (lists.length === 0)
    throw new StageError(
      `${source.root}: no FEC here: faceexp-comparison-data-train-public.csv is missing`,
      { root: source.root },
    )
  for (const { path } of lists) {
    const split = LIST.exec(path)![1] as 'train' | 'test'
    let line = 0
    for await (const cells of readList(join(source.root, path)))
      yield { id: `fec:${split}-${++line}`, split, row: parseRow(cells) }
  }
}
