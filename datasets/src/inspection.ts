import { join } from 'node:path'
import { mapOrdered } from '@deepfever/core'
import { codeOf, readPicture } from '@deepfever/media'
import { affectNetReleaseOf, inAffectNetProtocol, readAffectNet } from './affectnet.ts'
import { readCard, type Card, type Carded, type PublishedSize } from './card.ts'
import { readClassFolders } from './class-folders.ts'
import { readFec } from './fec.ts'
import type { ReadReject, Reading } from './labelled.ts'
import { readRafDb } from './rafdb.ts'
import type { Source } from './source.ts'

/** What can be inspected: corpora with a card, and folders named after classes. */
export const inspectable = ['affectnet', 'fec', 'rafdb', 'rafdb-original', 'folder'] as const
/** One of {@link inspectable}. */
export type Inspectable = (typeof inspectable)[number]

/** One count beside the published one. */
export interface CountRow {
  readonly split: string
  readonly name: string
  readonly found: number
  readonly published: number | undefined
}

/** What a reader made of a folder. */
export interface Inspection {
  readonly title: string
  readonly rows: readonly CountRow[]
  /** what others counted, where no exact number was published */
  readonly sizes?: readonly PublishedSize[] | undefined
  /** by code, sorted */
  readonly rejects: readonly {
    readonly code: string
    readonly count: number
    readonly example: string
  }[]
}

type Counts = Readonly<Record<string, readonly number[]>>

/** Pictures decoded side by side. */
const WIDTH = 4

/** Counts what readers turned away, the first of each code as example. */
function tally(rejects: Iterable<ReadReject>): Inspection['rejects'] {
  const byCode = new Map<string, { count: number; example: string }>()
  for (const { id, code } of rejects) {
    const entry = byCode.get(code) ?? { count: 0, example: id }
    byCode.set(code, { ...entry, count: entry.count + 1 })
  }
  return [...byCode]
    .map(([code, entry]) => ({ code, ...entry }))
    .sort((a, b) => (a.code < b.code ? -1 : 1))
}

/** With `pictures`, what cannot be decoded becomes a reject, as it would in `detect`. */
async function* decoded(
  readings: Iterable<Reading> | AsyncIterable<Reading>,
  { root }: Source,
  pictures: boolean,
): AsyncGenerator<Reading> {
  if (!pictures) yield* readings
  else
    yield* mapOrdered(readings, WIDTH, async reading => {
      if ('reject' in reading) return reading
      const { id, path } = reading.picture
      try {
        await readPicture(join(root, path))
        return reading
      } catch (thrown) {
        return { reject: { id, code: codeOf(thrown) } }
      }
    })
}

/** One row a class and split, and a total a split; classes without pictures are shown too. */
async function countClasses(
  readings: AsyncIterable<Reading>,
  classes: readonly string[],
  published: Counts | undefined,
): Promise<Pick<Inspection, 'rows' | 'rejects'> & { readonly found: Counts }> {
  const found: Record<string, number[]> = {}
  const emptyRow = () => classes.map(() => 0)
  for (const split of Object.keys(published ?? {})) found[split] = emptyRow()
  const rejects: ReadReject[] = []
  for await (const reading of readings) {
    if ('reject' in reading) rejects.push(reading.reject)
    else (found[reading.picture.split] ??= emptyRow())[reading.picture.label]!++
  }
  const rows = Object.entries(found).flatMap(([split, counts]) => [
    ...classes.map((name, i) => ({
      ...{ split, name, found: counts[i]!, published: published?.[split]?.[i] },
    })),
    totalRow(split, `all ${classes.length} classes`, counts, published?.[split]),
  ])
  return { rows, rejects: tally(rejects), found }
}

const sum = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0)

const totalRow = (
  split: string,
  name: string,
  found: readonly number[],
  published: readonly number[] | undefined,
): CountRow => ({ split, name, found: sum(found), published: published && sum(published) })

/**
 * Reads a folder as the later stages would and counts what they would get.
 *
 * @param pictures decode every picture too; takes minutes on a large corpus
 */
export async function inspectCorpus(
  corpus: Inspectable,
  source: Source,
  pictures: boolean,
): Promise<Inspection> {
  if (corpus === 'folder') {
    const { classes, readings } = readClassFolders(source)
    const { rows, rejects } = await countClasses(
      decoded(readings, source, pictures),
      classes,
      undefined,
    )
    return { title: 'folders of classes', rows, rejects }
  }
  const carded: Carded = corpus === 'rafdb-original' ? 'rafdb' : corpus
  const card = await readCard(carded)
  if (corpus === 'fec') return inspectFec(source, card, pictures)
  if (corpus !== 'affectnet') {
    const kind = corpus === 'rafdb' ? 'aligned' : 'original'
    const readings = decoded(readRafDb(source, kind), source, pictures)
    const { rows, rejects } = await countClasses(readings, card.classes, card.counts)
    return { title: `${card.title}, ${kind} pictures`, rows, rejects }
  }
  const release = affectNetReleaseOf(source)
  const published = release === '2017' ? card.counts2017 : card.counts
  const readings = decoded(readAffectNet(source), source, pictures)
  const { rows, rejects, found } = await countClasses(readings, card.classes, published)
  const seven = (counts: readonly number[]) => counts.filter((_, i) => inAffectNetProtocol(i, 7))
  const sevens = Object.entries(found).map(([split, counts]) => {
    const there = published?.[split]
    return totalRow(split, '7 classes, without contempt', seven(counts), there && seven(there))
  })
  return { title: `${card.title}, ${release} release`, rows: [...rows, ...sevens], rejects }
}

async function inspectFec(
  source: Source,
  { title, sizes }: Card,
  pictures: boolean,
): Promise<Inspection> {
  const { readings, triplets, rejects } = await readFec(source)
  const lost: ReadReject[] = []
  const usable = new Map<string, string>()
  for await (const reading of decoded(readings, source, pictures)) {
    if ('reject' in reading) lost.push(reading.reject)
    else usable.set(reading.picture.id, reading.picture.split)
  }
  const rows = (['train', 'test'] as const).flatMap(split => {
    const whole = triplets.filter(
      ({ split: own, faces }) => own === split && faces.every(face => usable.has(face)),
    )
    const kinds = ['ONE_CLASS_TRIPLET', 'TWO_CLASS_TRIPLET', 'THREE_CLASS_TRIPLET']
    const row = (name: string, found: number) => ({ split, name, found, published: undefined })
    return [
      ...kinds.map(kind => row(kind, whole.filter(triplet => triplet.kind === kind).length)),
      row('all triplets', whole.length),
      row('faces', [...usable.values()].filter(own => own === split).length),
    ]
  })
  const prefixed = [
    ...rejects.map(({ id, code }) => ({ id, code: `triplet: ${code}` })),
    ...lost.map(({ id, code }) => ({ id, code: `face: ${code}` })),
  ]
  return { title, rows, rejects: tally(prefixed), sizes }
}

/** An inspection as text: counts beside the published ones, then what was turned away. */
export function inspectionTable({ title, rows, rejects, sizes = [] }: Inspection): string {
  const counts = [
    ['split', 'class', 'found', 'published', 'difference'],
    ...rows.map(({ split, name, found, published }) => [
      ...[split, name, String(found), published === undefined ? '-' : String(published)],
      published === undefined ? '-' : found === published ? '0' : signed(found - published),
    ]),
  ]
  const refused = [
    ['turned away', 'count', 'first'],
    ...rejects.map(({ code, count, example }) => [code, String(count), printable(example)]),
  ]
  const counted = [
    ['split', 'triplets of', 'counted', 'by'],
    ...sizes.map(({ split, of, low, high, source }) => [split, of, rangeText(low, high), source]),
  ]
  const none = rejects.length === 0 ? ['nothing was turned away'] : align(refused, [1])
  const others = sizes.length > 0 ? [...align(counted, [2]), ''] : []
  return [title, '', ...align(counts, [2, 3, 4]), '', ...others, ...none, ''].join('\n')
}

const rangeText = (low: number, high: number) => (low === high ? `${low}` : `${low} to ${high}`)

const signed = (value: number): string => (value > 0 ? `+${value}` : String(value))

/** Names come from files of others and must not steer a terminal. */
const printable = (text: string): string => text.replace(/\p{C}/gu, '?').slice(0, 80)

function align(rows: readonly (readonly string[])[], right: readonly number[]): string[] {
  const widths = rows[0]!.map((_, i) => Math.max(...rows.map(row => row[i]!.length)))
  return rows.map(row =>
    row
      .map((cell, i) => (right.includes(i) ? cell.padStart(widths[i]!) : cell.padEnd(widths[i]!)))
      .join('  ')
      .trimEnd(),
  )
}
