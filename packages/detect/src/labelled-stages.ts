import { join } from 'node:path'
import { defineStage, integer, number, optionalPath, path } from '@deepfever/core'
import type { Context, Values } from '@deepfever/core'
import {
  openSource,
  readAffectNet,
  readFec,
  readRafDb,
  type Corpus,
  type FecTriplet,
  type LabelledPicture,
  type ReadReject,
  type Reading,
  type Source,
} from '@deepfever/datasets'
import { faces, triplets, writeArtifact, type ArtifactWriter } from '@deepfever/formats'
import { findFaces } from './face-finder.ts'
import { detectOptions } from './faces-stage.ts'

const labelledOptions = {
  ...detectOptions,
  source: optionalPath('folder of the corpus, as downloaded'),
  index: optionalPath('index of raw data instead (made by: npx deepfever datasets index)'),
  out: path('where the faces artifact goes'),
  probability: number({ help: "least of MTCNN's probability", standard: 0.95, min: 0, max: 1 }),
  minFace: integer({ help: 'least side of a box, pixels', standard: 20, min: 12, max: 4096 }),
} as const
type LabelledOptions = Values<typeof labelledOptions>

/** What a corpus brings: its pictures, and for FEC the triplets and what was turned away. */
interface Corpora {
  readonly readings: AsyncIterable<Reading> | Iterable<Reading>
  readonly triplets: readonly FecTriplet[]
  readonly rejects: readonly ReadReject[]
}

/** How a picture without a face stands in the journal: a run that goes on must know them apart. */
const turnedAway = (id: string): string => `rejected ${id}`

async function writeFaces(
  source: Source,
  readings: Corpora['readings'],
  options: LabelledOptions & { readonly detect: boolean },
  { log, checkpoint }: Context,
  write: ArtifactWriter,
): Promise<Set<string>> {
  const kept = new Set<string>()
  // Read ahead of the pictures, so written behind them: rows and ledger keep one order.
  const refused: ReadReject[] = []
  const bar = log.progress('pictures')
  async function* pictures() {
    for await (const reading of readings) {
      if ('reject' in reading) refused.push(reading.reject)
      else if (write.isDone(reading.picture.id)) kept.add(reading.picture.id)
      else if (!write.isDone(turnedAway(reading.picture.id))) yield reading.picture
    }
  }
  const { probability, minFace } = options
  const jobOf = (item: LabelledPicture) => ({
    file: join(source.root, item.path),
    gate: { probability, minFace },
    meant: { box: item.box, relative: item.relative },
  })
  for await (const { item, answer } of findFaces(pictures(), jobOf, options)) {
    checkpoint()
    const rejected = 'rejected' in answer
    if (rejected) write.reject(answer.rejected, item.path)
    else {
      await write.append(faces, {
        faceId: `${item.id}#0`,
        frameId: item.id,
        source: item.path,
        label: item.label,
        split: item.split,
        ...answer.faces[0]!,
      })
      kept.add(item.id)
      write.accept()
    }
    await write.done(rejected ? turnedAway(item.id) : item.id)
    bar.advance()
  }
  bar.done()
  await writeRejects(refused, write)
  return kept
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

function labelledStage(
  target: string,
  summary: string,
  corpus: Corpus,
  detect: boolean,
  read: (source: Source) => Promise<Corpora>,
) {
  return defineStage({
    name: `detect ${target}`,
    summary,
    behaviour: 1,
    options: labelledOptions,
    async run(options, context) {
      const { source: folder, index, out, force } = options
      const source = await openSource({ source: folder, index, corpus }, context.log)
      const inputs = [{ role: corpus, digest: source.digest }]
      const spec = { ...context.work, kind: 'faces', inputs, out, force }
      return writeArtifact(spec, context.log, async write => {
        const data = await read(source)
        const kept = await writeFaces(source, data.readings, { ...options, detect }, context, write)
        await writeTriplets(data, kept, write)
      })
    },
  })
}

const pictures = (readings: AsyncIterable<Reading>): Promise<Corpora> =>
  Promise.resolve({ readings, triplets: [], rejects: [] })

/** AffectNet: MTCNN on its crops, the whole crop where nothing is found. */
export const affectnetStage = labelledStage(
  'affectnet',
  'faces and classes of AffectNet, either release',
  'affectnet',
  true,
  source => pictures(readAffectNet(source)),
)

/** Google FEC: MTCNN on the photograph, matched to the box; the box itself where nothing fits. */
export const fecStage = labelledStage(
  'fec',
  'faces and triplets of Google FEC',
  'fec',
  true,
  readFec,
)

/** RAF-DB: the aligned pictures as they are, the way it is reported. */
export const rafStage = labelledStage(
  'raf',
  'faces and classes of RAF-DB basic, aligned',
  'rafdb',
  false,
  source => pictures(readRafDb(source)),
)
