import { join } from 'node:path'
import { choice, defineStage, integer, number, optionalPath, path } from '@deepfever/core'
import type { Context, OptionTable, Values } from '@deepfever/core'
import {
  openSource,
  readAffectNet,
  readCard,
  readClassFolders,
  readFec,
  readRafDb,
  type Corpus,
  type FecTriplet,
  type LabelledPicture,
  type ReadReject,
  type Reading,
  type Source,
} from '@deepfever/datasets'
import {
  annotations,
  faces,
  openForgotten,
  triplets,
  unstatedTerms,
  writeArtifact,
  type ArtifactWriter,
  type Forgotten,
  type Terms,
} from '@deepfever/formats'
import { findFaces } from '@deepfever/faces'
import { detectOptions } from './faces-stage.ts'

const labelledOptions = {
  ...detectOptions,
  source: optionalPath('folder of the corpus, as downloaded'),
  index: optionalPath('index of raw data instead (made by: npx deepfever datasets index)'),
  out: path('where the faces artifact goes'),
  probability: number({ help: "least of MTCNN's probability", standard: 0.95, min: 0, max: 1 }),
  minFace: integer({ help: 'least side of a box, pixels', standard: 20, min: 12, max: 4096 }),
  forget: optionalPath('forget.txt: clip digests and face ids that must not be used'),
} as const
type LabelledOptions = Values<typeof labelledOptions>

/** What a corpus brings: its pictures, and for FEC the triplets and what was turned away. */
interface Corpora {
  readonly readings: AsyncIterable<Reading> | Iterable<Reading>
  readonly triplets: readonly FecTriplet[]
  readonly rejects: readonly ReadReject[]
  /** names in label order; none where faces have no class */
  readonly classes: readonly string[]
}

/** Whether MTCNN looks for the face, and whether the corpus's picture stands in where it fails. */
type Finding = 'kept' | 'dropped' | 'none'

/** Entries of a split that gave no face, by label: an evaluation counts them as wrong. */
type Lost = Record<string, number[]>

function countLost(lost: Lost, { label = -1, split }: Pick<ReadReject, 'label' | 'split'>): void {
  if (split === undefined || label < 0) return
  const counts = (lost[split] ??= [])
  while (counts.length <= label) counts.push(0)
  counts[label]!++
}

/** How a picture without a face stands in the journal: a run that goes on must know them apart. */
const turnedAway = (id: string): string => `rejected ${id}`

async function writeFaces(
  source: Source,
  readings: Corpora['readings'],
  options: LabelledOptions & { readonly finding: Finding; readonly forgotten: Forgotten },
  { log, checkpoint }: Context,
  write: ArtifactWriter,
): Promise<Set<string>> {
  const kept = new Set<string>()
  // Read ahead of the pictures, so written behind them: rows and ledger keep one order.
  const refused: ReadReject[] = []
  const lost: Lost = {}
  const bar = log.progress('pictures')
  async function* pictures() {
    for await (const reading of readings) {
      if ('reject' in reading) {
        refused.push(reading.reject)
        countLost(lost, reading.reject)
      } else if (write.isDone(reading.picture.id)) kept.add(reading.picture.id)
      else if (write.isDone(turnedAway(reading.picture.id))) countLost(lost, reading.picture)
      else yield reading.picture
    }
  }
  const { probability, minFace, finding, forgotten } = options
  const detect = finding !== 'none'
  const jobOf = (item: LabelledPicture) => ({
    file: join(source.root, item.path),
    gate: { probability, minFace },
    ...(finding !== 'dropped' && { meant: { box: item.box, relative: item.relative } }),
  })
  for await (const { item, ...found } of findFaces(pictures(), jobOf, { ...options, detect })) {
    checkpoint()
    const isForgotten = forgotten.frames.has(item.id)
    const answer = isForgotten ? ({ rejected: 'forgotten' } as const) : found.answer
    const rejected = 'rejected' in answer
    if (rejected) {
      write.reject(answer.rejected, item.path)
      countLost(lost, item)
    } else {
      await write.append(faces, {
        faceId: `${item.id}#0`,
        frameId: item.id,
        source: item.path,
        label: item.label,
        split: item.split,
        ...answer.faces[0]!,
      })
      await writeAnnotation(item, write)
      kept.add(item.id)
      write.accept()
    }
    await write.done(rejected ? turnedAway(item.id) : item.id)
    bar.advance()
  }
  bar.done()
  write.describe({ lost })
  await writeRejects(refused, write)
  return kept
}

/** Valence, arousal and landmarks of a corpus that has them. */
async function writeAnnotation(
  { id, valence = -2, arousal = -2, landmarks }: LabelledPicture,
  write: ArtifactWriter,
): Promise<void> {
  if (valence === -2 && arousal === -2 && landmarks === undefined) return
  const points = landmarks ? Float32Array.from(landmarks) : new Float32Array(136).fill(-1)
  await write.append(annotations, { faceId: `${id}#0`, valence, arousal, points })
}

async function writeRejects(rejects: readonly ReadReject[], write: ArtifactWriter): Promise<void> {
  for (const { id, code } of rejects) {
    if (write.isDone(id)) continue
    write.reject(code, id)
    await write.done(id)
  }
}

async function writeTriplets(
  { triplets: found, rejects }: Corpora,
  kept: ReadonlySet<string>,
  write: ArtifactWriter,
): Promise<void> {
  const lost: Record<string, Record<string, number>> = {}
  const countTriplet = (split: string, kind: string) => {
    const kinds = (lost[split] ??= {})
    kinds[kind] = (kinds[kind] ?? 0) + 1
  }
  for (const { split, kind } of rejects) if (split && kind) countTriplet(split, kind)
  for (const { faces: three, split, kind } of found)
    if (!three.every(face => kept.has(face))) countTriplet(split, kind)
  if (found.length + rejects.length > 0) write.describe({ lostTriplets: lost })
  await writeRejects(rejects, write)
  for (const { id, faces: three, ...vote } of found) {
    if (write.isDone(id)) continue
    if (three.every(face => kept.has(face))) {
      const [first, second, third] = three.map(face => `${face}#0`) as [string, string, string]
      await write.append(triplets, { tripletId: id, first, second, third, ...vote })
      write.accept()
    } else write.reject('missing_face', id)
    await write.done(id)
  }
}

function labelledStage<const O extends OptionTable>(
  target: string,
  summary: string,
  corpus: Corpus | 'folder',
  own: O,
  read: (source: Source, options: Values<O>) => Promise<Corpora & { readonly finding: Finding }>,
) {
  return defineStage({
    name: `detect ${target}`,
    summary,
    behaviour: 2,
    options: { ...labelledOptions, ...own },
    async run(given, context) {
      const options = given as unknown as LabelledOptions & Values<O>
      const { source: folder, index, out, force } = options
      const source = await openSource({ source: folder, index, corpus }, context.log)
      const forgotten = await openForgotten(options.forget)
      const inputs = [{ role: corpus, digest: source.digest }, ...forgotten.inputs]
      const terms = [await termsOf(corpus)]
      const spec = { ...context.work, kind: 'faces', inputs, terms, out, force }
      return writeArtifact(spec, context.log, async write => {
        const data = await read(source, options)
        const { finding, classes } = data
        const kept = await writeFaces(
          source,
          data.readings,
          { ...options, finding, forgotten },
          context,
          write,
        )
        if (classes.length > 0) write.describe({ classes })
        await writeTriplets(data, kept, write)
      })
    },
  })
}

/** A corpus is under its card's licence; pictures of one's own say nothing. */
async function termsOf(corpus: Corpus | 'folder'): Promise<Terms> {
  if (corpus === 'folder' || corpus === 'videos') return unstatedTerms
  const { licence, ask } = await readCard(corpus)
  return { licence, consent: 'unstated', contact: ask }
}

const noTriplets = { triplets: [], rejects: [] }

/** AffectNet: MTCNN on its crops, the whole crop where nothing is found. */
export const affectnetStage = labelledStage(
  'affectnet',
  'faces and classes of AffectNet, either release',
  'affectnet',
  {},
  async source => ({
    ...noTriplets,
    readings: readAffectNet(source),
    classes: (await readCard('affectnet')).classes,
    finding: 'kept',
  }),
)

/** Google FEC: MTCNN on the photograph, matched to the box; the box itself where nothing fits. */
export const fecStage = labelledStage(
  'fec',
  'faces and triplets of Google FEC',
  'fec',
  {},
  async source => ({ ...(await readFec(source)), classes: [], finding: 'kept' }),
)

/** RAF-DB: the aligned pictures as they are, the way it is reported; or MTCNN on the originals. */
export const rafStage = labelledStage(
  'raf',
  'faces and classes of RAF-DB basic, aligned or original',
  'rafdb',
  {
    pictures: choice({
      help: "aligned: the corpus's crops; original: MTCNN on its photographs, no face is a reject",
      choices: ['aligned', 'original'],
      standard: 'aligned',
    }),
  },
  async (source, { pictures }) => ({
    ...noTriplets,
    readings: readRafDb(source, pictures),
    classes: (await readCard('rafdb')).classes,
    finding: pictures === 'aligned' ? 'none' : 'dropped',
  }),
)

/** Any pictures in folders named after their classes: the largest face of each. */
export const folderStage = labelledStage(
  'folder',
  'faces of pictures in folders named after their classes',
  'folder',
  {},
  source => Promise.resolve({ ...noTriplets, ...readClassFolders(source), finding: 'dropped' }),
)
