import { join } from 'node:path'
import {
  StageError,
  defineStage,
  integer,
  number,
  optionalPath,
  path,
  text,
  type Context,
} from '@deepfever/core'
import type { FeatureRow } from '@deepfever/formats'
import { codeOf } from '@deepfever/media'
import { writeWholeFile } from '@deepfever/models'
import { annotate } from '../annotation.ts'
import { openExtractor, type Extracted, type Extractor } from '../extractor.ts'
import { encodeFeatures, formOf, rowsOf } from '../feature-file.ts'
import { listInputs, type Input } from '../inputs.ts'

/** Features of every face in photographs and clips. */
export const extract = defineStage({
  name: 'extract',
  summary: 'photographs, clips and folders to features of every face, by an ONNX model',
  behaviour: 1,
  words: ['inputs'],
  many: true,
  options: {
    inputs: text({ help: 'pictures, clips, folders; - reads paths from standard input' }),
    model: path('FILE.onnx, with contract.json beside it'),
    contract: optionalPath('contract of the model, where it lies elsewhere'),
    out: path('features file: .parquet, .arrow, .csv or .jsonl'),
    annotate: optionalPath('folder for the pictures with boxes and expressions'),
    fps: number({ help: 'frames a second of a clip', standard: 1, min: 0.001, max: 240 }),
    maxSide: integer({
      help: 'longest side of a frame in pixels; larger ones are scaled down',
      ...{ standard: 1280, min: 16, max: 8192 },
    }),
    probability: number({ help: "least of the detector's", standard: 0.95, min: 0, max: 1 }),
    minFace: integer({ help: 'least side of a box, pixels', standard: 20, min: 20, max: 4096 }),
    workers: integer({
      help: 'threads; no result depends on it',
      ...{ role: 'execution', standard: 2, min: 1, max: 64 },
    }),
  },
  async run(options, context) {
    const { model, contract, out, probability, minFace, workers } = options
    const form = formOf(out)
    const gate = { probability, minFace }
    const extractor = await openExtractor({ model, contract, workers, gate })
    const rows: FeatureRow[] = []
    const codes: Record<string, number> = {}
    let pictures = 0
    try {
      const inputs = await listInputs(options.inputs.split('\0'), process.stdin)
      const bar = context.log.progress('pictures and clips', inputs.length)
      for await (const shown of extractEvery(inputs, extractor, options, context)) {
        context.checkpoint()
        if (shown.code === '') {
          pictures++
          rows.push(...rowsOf(shown))
          if (options.annotate !== '') {
            const drawn = await annotate(shown, extractor.labels)
            await writeWholeFile(join(options.annotate, nameOf(shown)), drawn)
          }
        } else codes[shown.code] = (codes[shown.code] ?? 0) + 1
        if (shown.ptsUs === undefined) bar.advance()
      }
      bar.done()
    } finally {
      await extractor.close()
    }
    await writeWholeFile(out, await encodeFeatures(form, rows, extractor.labels))
    context.log.event('wrote', { path: out, faces: rows.length, pictures, ...codes })
  },
})

/** `a/b.mp4` at 0.5 s → `a_b.mp4@500000.jpg`. */
const nameOf = ({ source, ptsUs }: Extracted): string =>
  `${source.replace(/[/\\:]+/g, '_')}${ptsUs === undefined ? '' : `@${ptsUs}`}.jpg`

/** Pictures next to each other go together, so that their faces fill blocks; a clip goes alone. */
async function* extractEvery(
  inputs: readonly Input[],
  extractor: Extractor,
  { fps, maxSide }: { readonly fps: number; readonly maxSide: number },
  { log, signal }: Pick<Context, 'log' | 'signal'>,
): AsyncGenerator<Extracted> {
  for (let first = 0; first < inputs.length;) {
    const { path: source, isClip } = inputs[first]!
    if (isClip) {
      try {
        yield* extractor.extractClip(source, { fps, maxSide, signal })
      } catch (thrown) {
        if (signal.aborted) throw new StageError('stopped', {})
        const code = codeOf(thrown)
        log.event('ended early', { clip: source, code })
        yield { source, ptsUs: undefined, file: source, faces: [], code }
      }
      first++
      continue
    }
    const end = inputs.findIndex((input, i) => i > first && input.isClip)
    const pictures = inputs.slice(first, end < 0 ? inputs.length : end)
    const toShown = ({ path: file }: Input) => ({ source: file, ptsUs: undefined, file })
    yield* extractor.extractAll(pictures.map(toShown))
    first += pictures.length
  }
}
