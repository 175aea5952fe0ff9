import { stat } from 'node:fs/promises'
import { UsageError, defineStage, integer, optionalPath, path, text } from '@deepfever/core'
import { inputOf, openArtifact } from '@deepfever/formats'
import { decodeVectors, searchCodes } from '@deepfever/models'
import { encodeSet, loadCodebook, loadCodes, measureRecall, saveCodes } from '../code-set.ts'
import { openExtractor } from '../extractor.ts'
import { searchVectors, type Hit } from '../nearest.ts'
import { loadVectors } from '../vector-set.ts'

/** The faces of a features file that are most like one face. */
export const similar = defineStage({
  name: 'similar',
  summary: 'the faces of a features file whose embeddings are nearest to one by cosine',
  behaviour: 1,
  words: ['query'],
  options: {
    query: text({
      help: 'faceId in the file, or a picture (its largest face); or the first word',
      role: 'execution',
    }),
    in: path('features file, .parquet or .arrow, or codes that --save kept'),
    k: integer({
      help: 'faces to show',
      role: 'execution',
      standard: 10,
      min: 1,
      max: 100_000,
    }),
    codes: integer({
      help: 'search on product codes of this many bytes a face, a divisor of the embedding; 0: on the embeddings',
      standard: 0,
      min: 0,
      max: 4096,
    }),
    codebook: optionalPath('kept codes whose codebook is used instead of a learned one'),
    save: optionalPath('where the codes are kept, for --in and --codebook'),
    seed: integer({ help: 'of the codebook', standard: 1, min: 0, max: 2 ** 31 }),
    model: optionalPath('FILE.onnx that made the features, for a picture'),
    contract: optionalPath('contract of the model, where it lies elsewhere'),
  },
  async run(options, { log, work }) {
    const { query, in: from, k, codes: parts, seed, codebook: place, save } = options
    const ready = (await stat(from).catch(() => undefined))?.isDirectory() === true
    const coding = parts > 0 || place !== ''
    if (ready ? coding || save !== '' : save !== '' && !coding)
      throw new UsageError(
        ready
          ? `${from} holds codes already; leave --codes, --codebook and --save away`
          : '--save keeps codes; give --codes=BYTES or --codebook with it',
        {},
      )
    let startMs = performance.now()
    const took = () => {
      const ms = Math.round(performance.now() - startMs)
      startMs = performance.now()
      return ms
    }
    const set = ready ? undefined : await loadVectors(from)
    const given = place === '' ? undefined : await loadCodebook(place)
    const kept = ready ? await loadCodes(from) : undefined
    const ids = (kept ?? set!).ids
    log.event('loaded', { rows: ids.length, ms: took() })
    const coded = kept ?? (coding ? await encodeSet(set!, { parts, seed, given }) : undefined)
    const width = coded?.codebook.width ?? set!.width
    if (coded && set) {
      log.event('encoded', {
        bytes: coded.codebook.parts,
        learnedFrom: given ? 0 : ids.length,
        ms: took(),
      })
      log.event('recall', { k, ...measureRecall(set, coded, k), ms: took() })
      if (save) {
        const inputs = [
          { role: 'features', digest: set.digest },
          ...(place ? [inputOf('codebook', await openArtifact(place, 'codes'))] : []),
        ]
        await saveCodes(coded, { out: save, work, inputs }, log)
      }
    }
    const known = ids.indexOf(query)
    const rowOf = (): Float32Array =>
      set
        ? set.values.subarray(known * width, (known + 1) * width)
        : decodeVectors(
            coded!.codebook,
            coded!.codes.subarray(
              known * coded!.codebook.parts,
              (known + 1) * coded!.codebook.parts,
            ),
          )
    const wanted = known < 0 ? await embedPicture(options) : rowOf()
    if (wanted.length !== width)
      throw new UsageError(
        `${query}: ${wanted.length} values, those of ${from} have ${width}; give the model that made it`,
        { found: wanted.length, wanted: width },
      )
    took()
    const most = known < 0 ? k : k + 1
    const hits: readonly Hit[] = coded
      ? searchCodes(coded.codebook, coded.codes, wanted, most)
      : searchVectors(set!, wanted, most)
    log.event('searched', { rows: ids.length, ms: took() })
    const shown = hits.filter(({ row }) => row !== known).slice(0, k)
    const lines = shown.map(({ row, cosine }) => `${cosine.toFixed(6)}  ${ids[row]}\n`)
    process.stdout.write(lines.join(''))
  },
})

async function embedPicture({
  query,
  in: from,
  model,
  contract,
}: Readonly<Record<'query' | 'in' | 'model' | 'contract', string>>): Promise<Float32Array> {
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
