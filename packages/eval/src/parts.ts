import { StageError, type Context } from '@deepfever/core'
import { codeOf } from '@deepfever/media'
import type { FaceEntry, FaceSet } from './face-set.ts'
import type { Features } from './feature-store.ts'
import type { LabelledFeatures } from './softmax-loss.ts'
import type { Tally } from './tally.ts'

/** The two parts of a probe. */
export type Part = 'train' | 'test'

/** Which faces a probe is fitted to and judged on. */
export interface Parting {
  /** names in label order; faces with a label beyond them are left out */
  readonly classes: readonly string[]
  /** the splits that stand for the test set */
  readonly testSplits: readonly string[]
}

/** One part: features, and which face each row is. */
export interface FacePart extends LabelledFeatures {
  readonly ids: readonly string[]
  readonly sources: readonly string[]
  /** place of each row's face in the face set */
  readonly places: Int32Array
}

/** Both parts, and the class of every test entry without a vector. */
export type FaceParts = Readonly<Record<Part, FacePart>> & { readonly lost: Int32Array }

interface Slot {
  readonly part: Part
  readonly row: number
}

/**
 * The vectors of a corpus by part, in the order of its faces; rows of the tally say where every
 * face went.
 *
 * @throws StageError when a part is empty, no vector is of a face, or they are of two widths
 */
export async function collectParts(
  faceSet: FaceSet,
  features: Features,
  parting: Parting,
  tally: Tally,
  { checkpoint }: Pick<Context, 'checkpoint'>,
): Promise<FaceParts> {
  const plan = await planParts(faceSet, parting, tally)
  const stores: Partial<Record<Part, Float32Array>> = {}
  let width: number | undefined
  const seen = { train: new Uint8Array(faceSet.total), test: new Uint8Array(faceSet.total) }
  let firstId: string | undefined
  for await (const { faceId, vector } of features.rows()) {
    checkpoint()
    firstId ??= faceId
    const slot = plan.slots.get(faceId)
    if (slot === undefined) continue
    width ??= vector.length
    if (vector.length !== width)
      throw new StageError(
        `${features.name}: the vector of ${faceId} has ${vector.length} numbers, wanted ${width}`,
        { faceId, found: vector.length, wanted: width },
      )
    const { part, row } = slot
    stores[part] ??= shared(plan.ids[part].length * width)
    stores[part].set(vector, row * width)
    seen[part][row] = 1
  }
  if (width === undefined && plan.slots.size > 0)
    throw new StageError(
      `${features.name}: found ${firstId === undefined ? 'no vector' : `ids such as ${firstId}`}, wanted ` +
        `ids of the faces of ${faceSet.place}, such as ${[...plan.slots.keys()][0]}`,
      { found: firstId, wanted: [...plan.slots.keys()][0] },
    )
  const missing = [...plan.slots].filter(([, { part, row }]) => seen[part][row] === 0)
  await tallyMissing(faceSet, new Set(missing.map(([id]) => id)), tally)
  const lost = missing
    .filter(([, { part }]) => part === 'test')
    .map(([, { row }]) => plan.labels.test[row]!)
  const toPart = (part: Part) =>
    compact(plan, part, stores[part] ?? new Float32Array(0), width ?? 1, seen[part])
  const parts = { train: toPart('train'), test: toPart('test') }
  for (let i = parts.train.labels.length + parts.test.labels.length; i > 0; i--) tally.use()
  const counts = { train: parts.train.labels.length, test: parts.test.labels.length }
  for (const part of ['train', 'test'] as const)
    if (counts[part] === 0) throw emptyPart(faceSet.place, part, counts, parting)
  return { ...parts, lost: Int32Array.from([...lost, ...lostBefore(faceSet, parting)]) }
}

const shared = (count: number) => new Float32Array(new SharedArrayBuffer(count * 4))

interface Plan {
  readonly slots: ReadonlyMap<string, Slot>
  readonly ids: Readonly<Record<Part, string[]>>
  readonly sources: Readonly<Record<Part, string[]>>
  readonly labels: Readonly<Record<Part, number[]>>
  readonly places: Readonly<Record<Part, number[]>>
}

async function planParts(faceSet: FaceSet, parting: Parting, tally: Tally): Promise<Plan> {
  const slots = new Map<string, Slot>()
  const empty = <T>(): Record<Part, T[]> => ({ train: [], test: [] })
  const plan: Plan = { slots, ids: empty(), sources: empty(), labels: empty(), places: empty() }
  let place = 0
  for await (const face of faceSet.rows()) {
    const reason = refusalOf(face, parting)
    if (reason !== undefined) tally.reject(reason, face.faceId)
    else {
      const part = partOf(face.split, parting)!
      slots.set(face.faceId, { part, row: plan.ids[part].length })
      plan.ids[part].push(face.faceId)
      plan.sources[part].push(face.source)
      plan.labels[part].push(face.label)
      plan.places[part].push(place)
    }
    place++
  }
  return plan
}

/** Why faces have no vector: the code of their picture, or `no_vector` where it can be decoded. */
async function tallyMissing(
  faceSet: FaceSet,
  missing: ReadonlySet<string>,
  tally: Tally,
): Promise<void> {
  if (missing.size === 0) return
  for await (const face of faceSet.rows())
    if (missing.has(face.faceId))
      tally.reject(await face.picture(32).then(() => 'no_vector', codeOf), face.faceId)
}

/** Moves the rows that have a vector together, in place. */
function compact(
  { ids, sources, labels, places }: Plan,
  part: Part,
  store: Float32Array,
  width: number,
  seen: Uint8Array,
): FacePart {
  const kept = ids[part].map((_, row) => row).filter(row => seen[row] === 1)
  kept.forEach((from, to) => {
    if (from !== to) store.copyWithin(to * width, from * width, (from + 1) * width)
  })
  return {
    features: store.subarray(0, kept.length * width),
    width,
    labels: Int32Array.from(kept, row => labels[part][row]!),
    ids: kept.map(row => ids[part][row]!),
    sources: kept.map(row => sources[part][row]!),
    places: Int32Array.from(kept, row => places[part][row]!),
  }
}

/** Classes of test entries that gave no face at all. */
const lostBefore = ({ lost }: FaceSet, { testSplits, classes }: Parting): number[] =>
  testSplits.flatMap(split =>
    (lost[split] ?? [])
      .slice(0, classes.length)
      .flatMap((count, label) => Array.from({ length: count }, () => label)),
  )

function partOf(split: string, { testSplits }: Parting): Part | undefined {
  if (split === 'train') return 'train'
  return testSplits.includes(split) ? 'test' : undefined
}

function refusalOf({ label, split }: FaceEntry, parting: Parting): string | undefined {
  if (label < 0) return 'no_label'
  if (label >= parting.classes.length) return 'class_left_out'
  return partOf(split, parting) === undefined ? 'other_split' : undefined
}

function emptyPart(
  place: string,
  part: Part,
  counts: Readonly<Record<Part, number>>,
  { testSplits, classes }: Parting,
): StageError {
  const splits = part === 'train' ? 'train' : testSplits.join(' or ')
  return new StageError(
    `${place}: no labelled face of split ${splits} (train ${counts.train}, test ${counts.test}), ` +
      `wanted faces labelled 0 to ${classes.length - 1}; make it from a whole corpus: ` +
      'npx deepfever detect --help',
    { path: place, found: counts, wanted: splits },
  )
}
