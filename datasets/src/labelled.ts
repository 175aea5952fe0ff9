/** A picture of a labelled corpus, as its reader found it. */
export interface LabelledPicture {
  /** unique in the corpus, the same wherever the data lies */
  readonly id: string
  /** below the source folder */
  readonly path: string
  /** the face as the corpus gives it, x1, y1, x2, y2 in pixels or, with `relative`, in 0..1 */
  readonly box?: readonly [number, number, number, number]
  readonly relative?: boolean
  /** class of the corpus's card */
  readonly label: number
  readonly split: 'train' | 'val' | 'test'
  /** unpleasant to pleasant, -1 to 1; absent where the corpus has none */
  readonly valence?: number
  /** calm to excited, -1 to 1; absent where the corpus has none */
  readonly arousal?: number
  /** x, y of every point in turn, pixels of the picture; absent where the corpus has none */
  readonly landmarks?: readonly number[]
}

/** An entry of a corpus that cannot be used, by a stable code. */
export interface ReadReject {
  readonly id: string
  readonly code: string
  /** class and split where the corpus says them: the entry counts in the whole split */
  readonly label?: number
  readonly split?: LabelledPicture['split']
  /** of a triplet with a clear vote */
  readonly kind?: string
}

/** What a reader gives, entry by entry. */
export type Reading = { readonly picture: LabelledPicture } | { readonly reject: ReadReject }
