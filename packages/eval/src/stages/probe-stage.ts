import { flag, number, type Context } from '@deepfever/core'
import type { Judgement } from '@deepfever/formats'
import { codeOf, encodeJpeg } from '@deepfever/media'
import type { FaceSet } from '../face-set.ts'
import { measureCodes } from '../code-curve.ts'
import { gateLeaks, toLeakageRecord } from '../leak-gate.ts'
import { collectParts, type FaceParts, type Part } from '../parts.ts'
import { nearestRows } from '../neighbours.ts'
import { VOTERS, evaluateProbe, type ProbeInput, type RowResults } from '../probe.ts'
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
    const { penalty: C, seed, workers: threads, sweep, cache, workers } = options
    const parts = await collectParts(faces, features[0]!, corpus, tally, context)
    const { train, test } = parts
    const neighbours = await nearestRows(train.features, test.features, train.width, VOTERS)
    const rows = { train: train.places, test: test.places }
    const leaks = options.leakage
      ? await gateLeaks({ faces, ...rows, neighbours, cache, workers }, context)
      : []
    const leaked = new Uint8Array(test.labels.length)
    for (const leak of leaks) leaked[leak.test] = 1
    const evaluate = (some: FaceParts, more: Partial<ProbeInput>) =>
      evaluateProbe({
        ...{ train: some.train, test: some.test, lost: some.lost, leaked },
        ...{ classes, C, balanced, threads, seed: String(seed), ...more },
      })
    const { results, ...own } = await evaluate(parts, { neighbours, sweep })
    const baseline: Measure[] = []
    for (const other of features.slice(1)) {
      const fresh = await collectParts(faces, other, corpus, openTally(), context)
      baseline.push(toBaseline((await evaluate(fresh, {})).headline))
    }
    const codes =
      options.codes &&
      (await measureCodes(
        { width: train.width, known: train.features, judged: test.features },
        String(seed),
        async (known, judged) => {
          const coded = {
            train: { ...train, features: known },
            test: { ...test, features: judged },
          }
          return (await evaluate({ ...parts, ...coded }, {})).headline
        },
      ))
    const ids = { train: train.ids, test: test.ids }
    const mistakes = mistakesOf(parts, results, classes)
    return {
      report: {
        ...own,
        kind: 'probe',
        title: corpus.title,
        beside: [...own.beside, ...baseline, ...corpus.beside],
        triplets: null,
        leakage: options.leakage ? toLeakageRecord(leaks, leaked.length, ids) : null,
        mistakes,
        ...(codes && { codes }),
      },
      judgements: judgementsOf(parts, results, leaked),
      pictures: await picturesOf(faces, mistakes),
    }
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
