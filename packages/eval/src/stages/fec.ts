import { StageError, defineStage } from '@deepfever/core'
import { faces, triplets, type Artifact, type Triplet } from '@deepfever/formats'
import { evaluateTriplets } from '../triplets.ts'
import { embedFaces } from './embed.ts'
import { rejectAll } from './probe-stage.ts'
import { openTally, published, subjectOptions, toBaseline, writeReport } from './subject.ts'

/** Triplet accuracy on the test triplets of Google FEC. */
export const fec = defineStage({
  name: 'eval fec',
  summary: 'triplet accuracy of a network on Google FEC',
  behaviour: 1,
  options: subjectOptions,
  run: (options, context) =>
    writeReport(options, context, 'fec', async ({ faces: artifact, embedders, tally }) => {
      const { log, checkpoint } = context
      const judged = await readTestTriplets(artifact)
      const needed = new Set(judged.flatMap(({ first, second, third }) => [first, second, third]))
      const rowOf = new Map<string, number>()
      const stores = embedders.map(({ width }) => new Float32Array(needed.size * width))
      const bar = log.progress('embeddings', needed.size)
      const wanted = async function* () {
        for await (const face of artifact.rows(faces)) {
          checkpoint()
          if (!needed.has(face.faceId)) continue
          bar.advance()
          yield face
        }
      }
      const undecodable = openTally()
      for await (const block of embedFaces(wanted(), embedders, options.workers)) {
        rejectAll(undecodable, block)
        block.faces.forEach(({ faceId }, i) => {
          const row = rowOf.get(faceId) ?? rowOf.size
          rowOf.set(faceId, row)
          embedders.forEach(({ width }, e) => {
            stores[e]!.set(block.vectors[e]!.subarray(i * width, (i + 1) * width), row * width)
          })
        })
      }
      bar.done()
      for (const [code, { count, example }] of Object.entries(undecodable.toLedger().rejects))
        log.warn('crops without an embedding', { code, count, example })
      const rows = judged.map(({ first, second, third, odd, kind }) => ({
        rows: [first, second, third].map(id => rowOf.get(id) ?? -1) as [number, number, number],
        odd,
        kind,
      }))
      rows.forEach((triplet, i) =>
        triplet.rows.includes(-1)
          ? tally.reject('face_missing', judged[i]!.tripletId)
          : tally.use(),
      )
      const results = embedders.map(({ width }, e) =>
        evaluateTriplets(rows, stores[e]!, width, String(options.seed)),
      )
      return {
        ...results[0]!,
        kind: 'triplets',
        title: 'Google FEC triplets',
        beside: [
          ...results.slice(1).map(({ headline }) => toBaseline(headline)),
          ...published(options.banner, 0.865, null, 'DeepFEVER student, table II'),
        ],
        probe: null,
      }
    }),
})

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
