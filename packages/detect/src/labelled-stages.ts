import { readFile } from 'node:fs/promises'
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
import { codeOf, type Picture } from '@deepfever/media'
import { cutCrop, findFaces, overlapOf, passes } from './face-finder.ts'
import { detectOptions } from './faces-stage.ts'
import type { Detection } from './mtcnn/index.ts'

const labelledOptions = {
  ...detectOptions,
  source: optionalPath('folder of the corpus, as downloaded'),
  index: optionalPath('index of raw data instead (made by: npx deepfever datasets index)'),
  out: path('where the faces artifact goes'),
  probability: number({ help: "least of MTCNN's probability", standard: 0.95, min: 0, max: 1 }),
  minFace: integer({ help: 'least side of a box, pixels', standard: 20, min: 12, max: 4096 }),
} as const
type LabelledOptions = Values<typeof labelledOptions>

/** Least overlap at which a detection is taken to be the corpus's own box. */
const SAME_FACE = 0.3

/** What a corpus brings: its pictures, and for FEC the triplets and what was turned away. */
interface Corpora {
  readonly readings: AsyncIterable<Reading> | Iterable<Reading>
  readonly triplets: readonly FecTriplet[]
  readonly rejects: readonly ReadReject[]
}

/** The given box in pixels; without one, the whole picture. */
const givenBox = ({ box, relative }: LabelledPicture, { width, height }: Picture): Float32Array =>
  !box
    ? Float32Array.of(0, 0, width, height)
    : relative
      ? Float32Array.of(box[0] * width, box[1] * height, box[2] * width, box[3] * height)
      : Float32Array.from(box)

/** The detection meant by the corpus: most overlap with its box, or the largest without one. */
function detectionFor(
  item: LabelledPicture,
  picture: Picture,
  detections: readonly Detection[],
  gate: LabelledOptions,
): Detection | undefined {
  const passing = detections.filter(found => passes(found, gate))
  if (!item.box) return passing[0]
  const box = givenBox(item, picture)
  const [best] = passing
    .map(found => ({ found, overlap: overlapOf(found.box, box) }))
    .sort((a, b) => b.overlap - a.overlap)
  return best && best.overlap >= SAME_FACE ? best.found : undefined
}

async function writeFaces(
  source: Source,
  readings: Corpora['readings'],
  options: LabelledOptions & { readonly detect: boolean },
  { log, checkpoint }: Context,
  write: ArtifactWriter,
): Promise<Set<string>> {
  const kept = new Set<string>()
  const bar = log.progress('pictures')
  async function* pictures() {
    for await (const reading of readings) {
      const id = 'picture' in reading ? reading.picture.id : reading.reject.id
      if ('picture' in reading) yield reading.picture
      else {
        write.reject(reading.reject.code, id)
        await write.done(id)
      }
    }
  }
  const load = (item: LabelledPicture) => readFile(join(source.root, item.path))
  for await (const { item, result } of findFaces(pictures(), load, options)) {
    checkpoint()
    if ('error' in result) write.reject(codeOf(result.error), item.path)
    else {
      const { picture, detections } = result
      const found = detectionFor(item, picture, detections, options)
      const box = found?.box ?? givenBox(item, picture)
      await write.append(faces, {
        faceId: `${item.id}#0`,
        frameId: item.id,
        source: item.path,
        box,
        landmarks: found?.landmarks ?? new Float32Array(10),
        probability: found?.probability ?? 0,
        cropKind: found ? 'detected' : 'given',
        label: item.label,
        split: item.split,
        crop: await cutCrop(picture, box),
      })
      kept.add(item.id)
      write.accept()
    }
    await write.done(item.id)
    bar.advance()
  }
  bar.done()
  return kept
}

async function writeTriplets(
  { triplets: found, rejects }: Corpora,
  kept: ReadonlySet<string>,
  write: ArtifactWriter,
): Promise<void> {
  for (const { id, code } of rejects) {
    write.reject(code, id)
    await write.done(id)
  }
  for (const { id, faces: three, ...vote } of found) {
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
