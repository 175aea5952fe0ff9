import { readFile } from 'node:fs/promises'
import { messageOf, FormatError } from '@deepfever/core'

/** How many triplets someone counted, and who. */
export interface PublishedSize {
  readonly split: 'train' | 'test'
  /** what was counted */
  readonly of: string
  readonly low: number
  readonly high: number
  readonly source: string
}

/** What is known of a corpus before its data are at hand: `cards/<corpus>.json`. */
export interface Card {
  readonly name: string
  readonly title: string
  readonly classes: readonly string[]
  /** published pictures of each class, by split */
  readonly counts: Readonly<Record<string, readonly number[]>>
  /** the same of AffectNet's 2017 release */
  readonly counts2017?: Readonly<Record<string, readonly number[]>>
  /** triplets, where no exact count was published */
  readonly sizes?: readonly PublishedSize[]
  /** where the counts stand */
  readonly countsOf: string
  readonly layout: readonly string[]
  readonly citation: string
  readonly licence: string
  readonly ask: string
}

/** Corpora that have a card. */
export const carded = ['affectnet', 'fec', 'rafdb'] as const
/** One of {@link carded}. */
export type Carded = (typeof carded)[number]

/** Reads the card of a corpus. */
export async function readCard(corpus: Carded): Promise<Card> {
  const place = new URL(`../cards/${corpus}.json`, import.meta.url)
  try {
    return JSON.parse(await readFile(place, 'utf8')) as Card
  } catch (thrown) {
    throw new FormatError(`${place.pathname}: ${messageOf(thrown)}`, { corpus }, thrown)
  }
}
