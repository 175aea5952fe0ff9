import { StageError, defineStage, path, type Context } from '@deepfever/core'
import { sha256, triplets, type Artifact, type Judgement, type Triplet } from '@deepfever/formats'
import { measureCodes, type CodeCurve } from '../code-curve.ts'
import { openFaces, type FaceSet } from '../face-set.ts'
import type { Features } from '../feature-store.ts'
import { gateLeaks, toLeakageRecord } from '../leak-gate.ts'
import type { LeakageRecord } from '../report.ts'
import { evaluateTriplets } from '../triplets.ts'
import {
  published,
  subjectOptions,
  toBaseline,
  writeReport,
  type SubjectOptions,
} from './subject.ts'

/** Triplet accuracy on the test triplets of Google FEC. */
export const fec = defineStage({
  name: 'eval fec',
  summary: 'triplet accuracy of an extractor on Google FEC',
  behaviour: 4,
  options: { ...subjectOptions, faces: path('faces artifact it is judged on') },
  async run(options, context) {
    const faceSet = await openFaces(options.faces)
    const judged = await readTestTriplets(faceSet.artifact)
    const needed = new Set(judged.flatMap(({ first, second, third }) => [first, second, third]))
    return writeReport(
      options,
      context,
      only(faceSet, needed),
      'fec',
      async ({ features, tally }) => {
        const lost = lostBefore(faceSet.artifact)
        const gate = options.leakage ? await findLeaked(options, context, faceSet, needed) : null
        const isLeaked = ({ first, second, third }: Triplet) =>
          [first, second, third].some(id => gate?.ids.has(id))
        const leaked = judged.map(isLeaked)
        const results = []
        let codes: CodeCurve | undefined
        for (const one of features) {
          const { rows, vectors, width } = await readRows(judged, leaked, needed, one)
          const judge = (some: Float32Array) =>
            evaluateTriplets(rows, some, width, String(options.seed), lost)
          results.push(judge(vectors))
          if (!options.codes || codes || vectors.length === 0) continue
          const seed = String(options.seed)
          codes = await measureCodes(
            { width, known: vectors, judged: vectors },
            seed,
            some => judge(some).headline,
          )
        }
        const [own, ...others] = results as [(typeof results)[0], ...typeof results]
        own.answers.forEach((answer, i) =>
          answer < 0 ? tally.reject('face_missing', judged[i]!.tripletId) : tally.use(),
        )
        return {
          report: {
            kind: 'triplets',
            title: 'Google FEC triplets',
            headline: own.headline,
            beside: [
              ...own.beside,
              ...others.map(({ headline }) => toBaseline(headline)),
              ...published(options.banner, 0.865, null, 'DeepFEVER student, table II'),
            ],
            probe: null,
            triplets: own.triplets,
            leakage: gate && { ...gate.record, triplets: leaked.filter(Boolean).length },
            mistakes: [],
            ...(codes && { codes }),
          },
          judgements: judged.map(({ tripletId: id, odd: label }, i): Judgement => ({
            ...{ id, label, predicted: own.answers[i]!, confidence: 0 },
            ...{ right: own.answers[i] === label ? 1 : 0, leaked: leaked[i] ? 1 : 0 },
          })),
          pictures: new Map(),
        }
      },
    )
  },
})

/** The faces that the test triplets name. */
const only = (faceSet: FaceSet, needed: ReadonlySet<string>): FaceSet => ({
  ...faceSet,
  digest: sha256(`${faceSet.digest} test triplets`),
  total: needed.size,
  async *rows() {
    for await (const face of faceSet.rows()) if (needed.has(face.faceId)) yield face
  },
})

/** Faces of test triplets whose picture a face of split `train` shows too. */
async function findLeaked(
  { cache, workers }: SubjectOptions,
  context: Context,
  faces: FaceSet,
  needed: ReadonlySet<string>,
): Promise<{ readonly ids: ReadonlySet<string>; readonly record: LeakageRecord }> {
  const names = { train: [] as string[], test: [] as string[] }
  const places = { train: [] as number[], test: [] as number[] }
  let place = 0
  for await (const { faceId, split } of faces.rows()) {
    const part = needed.has(faceId) ? 'test' : split === 'train' ? 'train' : undefined
    if (part !== undefined) {
      names[part].push(faceId)
      places[part].push(place)
    }
    place++
  }
  const [train, test] = [Int32Array.from(places.train), Int32Array.from(places.test)]
  const leaks = await gateLeaks({ faces, train, test, cache, workers }, context)
  return {
    ids: new Set(leaks.map(leak => names.test[leak.test]!)),
    record: toLeakageRecord(leaks, test.length, names),
  }
}

/** Test triplets with a clear vote that gave no three faces, by kind. */
const lostBefore = ({ manifest }: Artifact): Readonly<Record<string, number>> =>
  (manifest.metadata['lostTriplets'] as Record<string, Record<string, number>> | undefined)?.[
    'test'
  ] ?? {}

async function readRows(
  judged: readonly Triplet[],
  leaked: readonly boolean[],
  needed: ReadonlySet<string>,
  features: Features,
) {
  const rowOf = new Map<string, number>()
  let vectors: Float32Array | undefined
  let width = 1
  for await (const { faceId, vector } of features.rows()) {
    if (!needed.has(faceId) || rowOf.has(faceId)) continue
    width = vector.length
    vectors ??= new Float32Array(needed.size * width)
    vectors.set(vector, rowOf.size * width)
    rowOf.set(faceId, rowOf.size)
  }
  const rows = judged.map(({ first, second, third, odd, kind }, i) => ({
    rows: [first, second, third].map(id => rowOf.get(id) ?? -1) as [number, number, number],
    ...{ odd, kind, leaked: leaked[i]! },
  }))
  return { rows, vectors: (vectors ?? new Float32Array(0)).subarray(0, rowOf.size * width), width }
}

async function readTestTriplets(artifact: Artifact): Promise<Triplet[]> {
  const found: Triplet[] = []
  let others = 0
  for await (const row of artifact.rows(triplets)) {
    if (row.split === 'test') found.push(row)
    else others++
  }
  if (found.length > 0) return found
  throw new StageError(
    `${artifact.path}: no triplet of split test among ${others}; make it from a whole corpus: ` +
      'npx deepfever detect --help',
    { path: artifact.path, found: others, wanted: 'test' },
  )
}
