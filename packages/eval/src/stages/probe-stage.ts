import { flag, number, type Context } from '@deepfever/core'
import type { Judgement } from '@deepfever/formats'
import { codeOf, encodeJpeg } from '@deepfever/media'
import type { FaceSet } from '../face-set.ts'
import { findLeaks, type Leak } from '../leakage.ts'
import { measureCodes } from '../code-curve.ts'
import { collectParts, type FaceParts, type Part } from '../parts.ts'
import { greyOf, storeHashes } from '../picture-hashes.ts'
import { LIKENESS_SIDE } from '../picture-likeness.ts'
import { nearestRows } from '../neighbours.ts'
import { evaluateProbe, type RowResults } from '../probe.ts'
import type { Pictures } from '../report-page.ts'
import type { Measure, Mistake, ShownFace } from '../report.ts'
import { openTally } from '../tally.ts'
import { subjectOptions, toBaseline, writeReport, type SubjectOptions } from './subject.ts'

/** Options of a probe. */
export const probeOptions = {
  ...subjectOptions,
  penalty: number({
    help: "C, the inverse strength of the logistic regression's L2 penalty",
    standard: 10_000,
    min: 1e-6,
    max: 1e12,
  }),
  sweep: flag({ help: 'also choose C on a tenth of the training faces' }),
  leakage: flag({
    help: 'leave test faces whose picture is in training out of the headline',
    standard: true,
  }),
} as const

/** What sets one corpus's probe apart. */
export interface ProbeCorpus {
  readonly title: string
  /** names in label order; faces with a label beyond them are left out */
  readonly classes: readonly string[]
  /** the splits that stand for the test set */
  readonly testSplits: readonly string[]
  readonly balanced: boolean
  readonly beside: readonly Measure[]
}

type ProbeOptions = SubjectOptions & {
  readonly penalty: number
  readonly sweep: boolean
  readonly leakage: boolean
}

/** Mistakes on the page, and training neighbours of each. */
const SHOWN = { mistakes: 12, neighbours: 3 }
const SHOWN_SIDE = 96

/** Fits the probe on `train` and judges it on the test split. */
export const runProbe = (
  options: ProbeOptions,
  context: Context,
  faces: FaceSet,
  corpus: ProbeCorpus,
) =>
  writeReport(options, context, faces, 'embedding', async ({ features, tally }) => {
    const { classes, balanced } = corpus
    const { penalty: C, seed, workers: threads, sweep } = options
    const parts = await collectParts(faces, features[0]!, corpus, tally, context)
    const leaks = options.leakage ? await leaksOf(options, context, faces, parts) : []
    const leaked = new Uint8Array(parts.test.labels.length)
    for (const { test } of leaks) leaked[test] = 1
    const evaluate = ({ train, test, lost }: FaceParts, swept: boolean) =>
      evaluateProbe({
        ...{ train, test, lost, leaked, classes, C, balanced, threads },
        ...{ seed: String(seed), sweep: swept },
      })
    const { results, ...own } = await evaluate(parts, sweep)
    const baseline: Measure[] = []
    for (const other of features.slice(1)) {
      const fresh = await collectParts(faces, other, corpus, openTally(), context)
      baseline.push(toBaseline((await evaluate(fresh, false)).headline))
    }
    const rows = {
      ...{ width: parts.train.width, known: parts.train.features, judged: parts.test.features },
    }
    const codes =
      options.codes &&
      (await measureCodes(rows, String(seed), async (known, judged) => {
        const train = { ...parts.train, features: known }
        const test = { ...parts.test, features: judged }
        return (await evaluate({ ...parts, train, test }, false)).headline
      }))
    const mistakes = mistakesOf(parts, results, classes)
    return {
      report: {
        ...own,
        kind: 'probe',
        title: corpus.title,
        beside: [...own.beside, ...baseline, ...corpus.beside],
        triplets: null,
        leakage: options.leakage ? toRecord(parts, leaks) : null,
        mistakes,
        ...(codes && { codes }),
      },
      judgements: judgementsOf(parts, results, leaked),
      pictures: await picturesOf(faces, mistakes),
    }
  })

async function leaksOf(
  { cache, workers }: ProbeOptions,
  context: Context,
  faces: FaceSet,
  { train, test }: FaceParts,
): Promise<Leak[]> {
  const hashes = await storeHashes(faces, cache, workers, context)
  const pick = ({ places }: FaceParts[Part]) => {
    const words = new Uint32Array(places.length * 4)
    places.forEach((place, row) => words.set(hashes.subarray(place * 4, place * 4 + 4), row * 4))
    return words
  }
  const neighbours = await nearestRows(train.features, test.features, train.width, 20)
  return findLeaks({ train: pick(train), test: pick(test) }, neighbours, async wanted => {
    const rowOf = {
      train: new Map([...wanted.train].map(row => [train.ids[row]!, row])),
      test: new Map([...wanted.test].map(row => [test.ids[row]!, row])),
    }
    const greys = { train: new Map<number, Float32Array>(), test: new Map<number, Float32Array>() }
    for await (const face of faces.rows())
      for (const part of ['train', 'test'] as const) {
        const row = rowOf[part].get(face.faceId)
        const grey = row === undefined ? undefined : await greyOf(face, LIKENESS_SIDE)
        if (grey) greys[part].set(row!, grey)
      }
    return greys
  })
}

const toRecord = ({ train, test }: FaceParts, leaks: readonly Leak[]) => ({
  tested: test.labels.length,
  leaked: leaks.length,
  examples: leaks.slice(0, 20).map(leak => ({
    test: test.ids[leak.test]!,
    train: train.ids[leak.train]!,
    bits: leak.bits,
    likeness: leak.likeness,
  })),
})

function* judgementsOf(
  { test }: FaceParts,
  { predicted, confidence }: RowResults,
  leaked: Uint8Array,
): Generator<Judgement> {
  for (const [row, id] of test.ids.entries()) {
    const [label, guess] = [test.labels[row]!, predicted[row]!]
    yield {
      ...{ id, label, predicted: guess, confidence: Math.fround(confidence[row]!) },
      ...{ right: label === guess ? 1 : 0, leaked: leaked[row]! },
    }
  }
}

/** The wrong answers of most confidence. */
function mistakesOf(
  { train, test }: FaceParts,
  { predicted, confidence, neighbours }: RowResults,
  classes: readonly string[],
): Mistake[] {
  const shown = (part: FaceParts[Part], row: number): ShownFace => ({
    ...{ id: part.ids[row]!, source: part.sources[row]!, label: classes[part.labels[row]!]! },
  })
  return test.ids
    .map((_, row) => row)
    .filter(row => predicted[row] !== test.labels[row])
    .sort((a, b) => confidence[b]! - confidence[a]! || a - b)
    .slice(0, SHOWN.mistakes)
    .map(row => ({
      ...shown(test, row),
      predicted: classes[predicted[row]!]!,
      confidence: confidence[row]!,
      neighbours: Array.from({ length: Math.min(SHOWN.neighbours, neighbours.k) }, (_, i) => ({
        ...shown(train, neighbours.rows[row * neighbours.k + i]!),
        cosine: neighbours.cosines[row * neighbours.k + i]!,
      })),
    }))
}

/** Small pictures of the faces on the page. */
async function picturesOf(faces: FaceSet, mistakes: readonly Mistake[]): Promise<Pictures> {
  const wanted = new Set(
    mistakes.flatMap(({ id, neighbours }) => [id, ...neighbours.map(n => n.id)]),
  )
  const pictures = new Map<string, Uint8Array>()
  if (wanted.size === 0) return pictures
  for await (const face of faces.rows()) {
    if (!wanted.has(face.faceId)) continue
    const picture = await face.picture(SHOWN_SIDE).catch(codeOf)
    if (typeof picture !== 'string') pictures.set(face.faceId, await encodeJpeg(picture, 80))
  }
  return pictures
}
