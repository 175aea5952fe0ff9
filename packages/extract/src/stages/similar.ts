import { UsageError, defineStage, integer, optionalPath, path, text } from '@deepfever/core'
import { readVectors } from '@deepfever/formats'
import { openExtractor } from '../extractor.ts'
import { searchVectors, toVectorSet } from '../nearest.ts'

/** The faces of a features file that are most like one face. */
export const similar = defineStage({
  name: 'similar',
  summary: 'the faces of a features file whose embeddings are nearest to one by cosine',
  behaviour: 1,
  words: ['query'],
  options: {
    query: text({ help: 'faceId in the file, or a picture (its largest face); or the first word' }),
    in: path('features file, .parquet'),
    k: integer({ help: 'faces to show', standard: 10, min: 1, max: 100_000 }),
    model: optionalPath('FILE.onnx that made the features, for a picture'),
    contract: optionalPath('contract of the model, where it lies elsewhere'),
  },
  async run({ query, in: from, k, model, contract }, { log }) {
    const ids: string[] = []
    const vectors: Float32Array[] = []
    for await (const { id, vector } of (await readVectors(from, 'faceId', 'embedding')).rows()) {
      ids.push(id)
      vectors.push(vector)
    }
    const width = vectors[0]?.length ?? 0
    const values = new Float32Array(width * vectors.length)
    vectors.forEach((vector, i) => values.set(vector, i * width))
    const known = ids.indexOf(query)
    const wanted = known < 0 ? await embedPicture(query, from, model, contract) : vectors[known]!
    if (wanted.length !== width)
      throw new UsageError(
        `${query}: ${wanted.length} values, those of ${from} have ${width}; give the model that made it`,
        { found: wanted.length, wanted: width },
      )
    const set = toVectorSet(values, width)
    const startMs = performance.now()
    const hits = searchVectors(set, wanted, known < 0 ? k : k + 1).filter(hit => hit.row !== known)
    log.event('searched', { rows: ids.length, ms: Math.round(performance.now() - startMs) })
    const lines = hits.slice(0, k).map(({ row, cosine }) => `${cosine.toFixed(6)}  ${ids[row]}\n`)
    process.stdout.write(lines.join(''))
  },
})

async function embedPicture(
  query: string,
  from: string,
  model: string,
  contract: string,
): Promise<Float32Array> {
  if (model === '')
    throw new UsageError(
      `${query}: no faceId in ${from}; wanted one, or a picture together with --model=FILE.onnx`,
      { found: query },
    )
  const extractor = await openExtractor({ model, contract, workers: 1 })
  try {
    const [face] = await extractor.extract(query)
    if (face) return face.embedding
    throw new UsageError(`${query}: no face was found; give a picture with one`, { found: query })
  } finally {
    await extractor.close()
  }
}
