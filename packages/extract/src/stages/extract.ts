import { createHash } from 'node:crypto'
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
  type Work,
} from '@deepfever/core'
import type { FeatureRow } from '@deepfever/formats'
import { codeOf } from '@deepfever/media'
import { writeWholeFile } from '@deepfever/models'
import { annotate } from '../annotation.ts'
import { openExtractor, type Extracted, type Extractor } from '../extractor.ts'
import { encodeFeatures, formOf, rowsOf } from '../feature-file.ts'
import { listInputs, type Input } from '../inputs.ts'
import { openSavedRun, type SavedRun } from '../saved-run.ts'

/** Features of every face in photographs and clips. */
export const extract = defineStage({
  name: 'extract',
  summary: 'photographs, clips and folders to features of every face, by an ONNX model',
  behaviour: 2,
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
    const inputs = await listInputs(options.inputs.split('\0'), process.stdin)
    const extractor = await openExtractor({ model, contract, workers, gate })
    try {
      const saved = await openSavedRun(out, digestOf(inputs, extractor, context.work))
      let isDone = false
      try {
        const rows = rowsOfRun(inputs, extractor, saved, options, context)
        await writeWholeFile(out, encodeFeatures(form, rows, extractor.labels))
        isDone = true
      } finally {
        await saved.close(isDone)
      }
    } finally {
      await extractor.close()
    }
  },
})

/** Names everything that the rows depend on but the contents of the inputs. */
function digestOf(inputs: readonly Input[], { digest }: Extractor, work: Work): string {
  const hash = createHash('sha256').update(JSON.stringify({ work, digest }))
  for (const { path } of inputs) hash.update(`\0${path}`)
  return hash.digest('hex')
}

/** The rows that earlier runs kept, then those of the other inputs; says at the end what was done. */
async function* rowsOfRun(
  inputs: readonly Input[],
  extractor: Extractor,
  saved: SavedRun,
  options: StepOptions & { readonly out: string; readonly annotate: string },
  { log, signal, checkpoint }: Context,
): AsyncGenerator<FeatureRow> {
  let { inputs: done, pictures, faces } = saved.tally
  const codes = { ...saved.tally.codes }
  if (done > 0) log.event('going on', { inputs: done, faces })
  yield* saved.rows()
  const bar = log.progress('pictures and clips', inputs.length)
  bar.advance(done)
  for await (const step of stepsOf(inputs, done, extractor, options, { log, signal })) {
    checkpoint()
    const { shown } = step
    if (shown?.code === '') {
      const rows = rowsOf(shown)
      pictures++
      faces += rows.length
      saved.add(rows)
      if (options.annotate !== '') {
        const drawn = await annotate(shown, extractor.labels)
        await writeWholeFile(join(options.annotate, nameOf(shown)), drawn)
      }
      yield* rows
    } else if (shown) codes[shown.code] = (codes[shown.code] ?? 0) + 1
    bar.advance(step.done - done)
    done = step.done
    if (step.isSafe) await saved.mark({ inputs: done, pictures, faces, codes: { ...codes } })
  }
  bar.done()
  log.event('wrote', { path: options.out, faces, pictures, ...codes })
}

/** `a/b.mp4` at 0.5 s → `a_b.mp4@500000.jpg`. */
const nameOf = ({ source, ptsUs }: Extracted): string =>
  `${source.replace(/[/\\:]+/g, '_')}${ptsUs === undefined ? '' : `@${ptsUs}`}.jpg`

interface StepOptions {
  readonly fps: number
  readonly maxSide: number
}

interface Step {
  readonly shown?: Extracted
  /** inputs that are finished */
  readonly done: number
  /** whether blocks of faces begin anew here, in this run and in one that begins here */
  readonly isSafe: boolean
}

/** Pictures next to each other go together, so that their faces fill blocks; a clip goes alone. */
async function* stepsOf(
  inputs: readonly Input[],
  from: number,
  extractor: Extractor,
  { fps, maxSide }: StepOptions,
  { log, signal }: Pick<Context, 'log' | 'signal'>,
): AsyncGenerator<Step> {
  for (let first = from; first < inputs.length;) {
    const { path: source, isClip } = inputs[first]!
    if (isClip) {
      try {
        for await (const shown of extractor.extractClip(source, { fps, maxSide, signal }))
          yield { shown, done: first, isSafe: false }
      } catch (thrown) {
        if (signal.aborted) throw new StageError('stopped', {})
        const code = codeOf(thrown)
        log.event('ended early', { clip: source, code })
        const shown = { source, ptsUs: undefined, file: source, faces: [], code }
        yield { shown, done: first, isSafe: false }
      }
      yield { done: ++first, isSafe: true }
      continue
    }
    let faces = 0
    for await (const shown of extractor.extractAll(picturesFrom(inputs, first))) {
      faces += shown.faces.length
      yield { shown, done: ++first, isSafe: faces % extractor.batch === 0 }
    }
  }
}

function* picturesFrom(inputs: readonly Input[], first: number) {
  for (let i = first; i < inputs.length && !inputs[i]!.isClip; i++) {
    const { path } = inputs[i]!
    yield { source: path, ptsUs: undefined, file: path }
  }
}
