import {
  UsageError,
  choice,
  commonOptions,
  flag,
  integer,
  optionalPath,
  path,
  text,
  type Context,
  type Values,
} from '@deepfever/core'
import {
  judgements,
  unstatedTerms,
  writeArtifact,
  type Judgement,
  type Manifest,
  type Terms,
} from '@deepfever/formats'
import {
  initialise,
  openCheckpoint,
  openNetworkExtractor,
  openOnnxExtractor,
  type Extractor,
  type Training,
} from '@deepfever/models'
import type { FaceSet } from '../face-set.ts'
import { openFeatureFile, storeFeatures, type Features } from '../feature-store.ts'
import { renderReport, type Pictures } from '../report-page.ts'
import { encodeReport, type Measure, type Report } from '../report.ts'
import { openTally, type Tally } from '../tally.ts'

/** Options that every evaluation has: what is judged, and where the report goes. */
export const subjectOptions = {
  ...commonOptions,
  checkpoint: optionalPath('checkpoint artifact of the network that is judged'),
  student: optionalPath('the same as --checkpoint'),
  network: choice({
    help: 'what the checkpoint holds',
    choices: ['student', 'teacher'],
    standard: 'student',
  }),
  onnx: optionalPath('ONNX file of any extractor instead, with contract.json beside it'),
  contract: optionalPath('contract of the ONNX file, where it lies elsewhere'),
  output: text({ help: "the ONNX file's output that is judged", standard: '' }),
  features: optionalPath('Parquet file instead: columns faceId (text), vector (list of float32)'),
  out: path('where the report artifact goes'),
  leakage: flag({
    help: 'leave what shows a training picture out of the headline; the number with it stands beside',
    standard: true,
  }),
  baseline: choice({
    help: 'also judge the same network with fresh weights',
    choices: ['none', 'untrained'],
    standard: 'none',
  }),
  codes: flag({
    help: 'also judge the vectors at 1, 2, 4 … bytes a face (product codes): a curve on the page',
  }),
  seed: integer({
    help: 'of the bootstrap, of parts and of fresh weights',
    standard: 1,
    min: 0,
    max: 2 ** 31,
  }),
  banner: text({
    help: 'a line on top of the page, such as that the data was drawn',
    standard: '',
  }),
  cache: optionalPath('where vectors are kept for the next evaluation', '.artifacts/features'),
  workers: integer({
    help: 'blocks under way at once, and threads of the fit',
    role: 'execution',
    standard: 2,
    min: 1,
    max: 64,
  }),
} as const

/** Parsed values of `subjectOptions`. */
export type SubjectOptions = Values<typeof subjectOptions>

/** What is judged, not yet opened. */
interface Subject {
  readonly role: string
  readonly digest: string
  readonly terms: readonly Terms[]
  readonly training?: Training | undefined
  /** vectors of a face set: of the subject, then, if asked for, of the same with fresh weights */
  features(faceSet: FaceSet, context: Context): Promise<readonly Features[]>
}

type Output = 'embedding' | 'fec'

/** @throws UsageError unless exactly one of checkpoint, onnx and features is given */
async function openSubject(options: SubjectOptions, output: Output): Promise<Subject> {
  const { student, onnx, contract, features, workers } = options
  const checkpoint = options.checkpoint || student
  const given = [checkpoint, onnx, features].filter(place => place !== '').length
  if (given !== 1 || (options.checkpoint !== '' && student !== ''))
    throw new UsageError(
      `give one of --student (or --checkpoint), --onnx and --features: ${given || 'none'} given`,
      { found: given },
    )
  if (features) {
    const file = await openFeatureFile(features)
    const subject = { role: 'features', digest: file.digest, terms: [unstatedTerms] }
    return { ...subject, features: () => Promise.resolve([file]) }
  }
  if (onnx) {
    const how = { contract, workers, output: options.output || (output === 'fec' ? 'fec' : '') }
    const extractor = await openOnnxExtractor(onnx, how)
    const { digest, terms } = extractor
    return { role: 'onnx', digest, terms, features: storeAll(options, [extractor]) }
  }
  const opened = await openCheckpoint(checkpoint, options.network)
  const { network, state, digest, terms, training, path: place } = opened
  const open = (name: string, named: string, weights: typeof state) =>
    openNetworkExtractor(network, weights, { name, digest: named, terms, output, workers })
  const fresh = `${digest} with fresh weights ${options.seed}`
  const extractors = [
    open(place, digest, state),
    ...(options.baseline === 'untrained'
      ? [open('fresh weights', fresh, initialise(network, options.seed))]
      : []),
  ]
  return { role: 'checkpoint', digest, terms, training, features: storeAll(options, extractors) }
}

const storeAll =
  ({ cache, workers }: SubjectOptions, extractors: readonly Extractor[]): Subject['features'] =>
  async (faceSet, context) => {
    const all: Features[] = []
    try {
      for (const extractor of extractors)
        all.push(await storeFeatures(faceSet, extractor, cache, workers, context))
    } finally {
      await Promise.all(extractors.map(extractor => extractor.close()))
    }
    return all
  }

/** What the body of an evaluation works with. */
export interface Evaluation {
  readonly faces: FaceSet
  readonly features: readonly Features[]
  readonly tally: Tally
}

/** What the body of an evaluation finds; the rest of the report is filled in around it. */
export interface Findings {
  readonly report: Pick<
    Report,
    | 'kind'
    | 'title'
    | 'headline'
    | 'beside'
    | 'probe'
    | 'triplets'
    | 'leakage'
    | 'mistakes'
    | 'codes'
  >
  readonly judgements: Iterable<Judgement>
  readonly pictures: Pictures
}

/**
 * Opens what is judged, runs the body, and writes report.json, report.html and the judgements.
 *
 * @param output the network output that is judged
 */
export async function writeReport(
  options: SubjectOptions,
  context: Context,
  faces: FaceSet,
  output: Output,
  body: (evaluation: Evaluation) => Promise<Findings>,
): Promise<Manifest> {
  const { log, work } = context
  const subject = await openSubject(options, output)
  const inputs = [
    { role: subject.role, digest: subject.digest, terms: subject.terms },
    { role: 'faces', digest: faces.digest, terms: faces.terms },
  ]
  const { out, force } = options
  return writeArtifact({ ...work, kind: 'report', inputs, out, force }, log, async write => {
    const tally = openTally()
    const features = await subject.features(faces, context)
    const findings = await body({ faces, features, tally })
    const ledger = tally.toLedger()
    const { banner, ...configuration } = work.identity
    const report: Report = {
      report: 2,
      ...findings.report,
      extractor: features[0]!.name,
      training: subject.training ?? null,
      banner: banner === '' ? null : String(banner),
      ledger,
      configuration: { stage: work.stage, behaviour: work.behaviour, ...configuration },
      digests: Object.fromEntries(inputs.map(({ role, digest }) => [role, digest])),
    }
    for (const row of findings.judgements) await write.append(judgements, row)
    await write.file('report.json', encodeReport(report))
    await write.file('report.html', renderReport(report, findings.pictures))
    write.describe({ title: report.title, headline: report.headline })
    write.accept(ledger.outputs)
    for (const [code, { count, example }] of Object.entries(ledger.rejects))
      for (let i = 0; i < count; i++) write.reject(code, example)
    await write.done('report', ledger.inputs)
    log.event('result', { title: report.title, ...shorten(report.headline) })
  })
}

const shorten = ({ label, value, n }: Measure) => ({ measure: label, value, n })

/** The same measure of the network with fresh weights, to stand beside the headline. */
export const toBaseline = (measure: Measure): Measure => ({
  ...measure,
  label: 'Untrained network',
  note: 'the same network with fresh weights',
})

/** A number from the literature, shown only where the data is the corpus itself. */
export const published = (banner: string, value: number, n: number | null, note: string) =>
  banner === '' ? [{ label: 'Published', value, n, interval: null, note }] : []
