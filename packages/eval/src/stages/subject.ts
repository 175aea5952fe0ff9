import {
  choice,
  commonOptions,
  integer,
  path,
  text,
  type Context,
  type Values,
} from '@deepfever/core'
import {
  openArtifact,
  writeArtifact,
  type Artifact,
  type Ledger,
  type Manifest,
  type Reject,
} from '@deepfever/formats'
import { initialise, openCheckpoint } from '@deepfever/models'
import { renderReport } from '../report-page.ts'
import { encodeReport, type Measure, type Report } from '../report.ts'
import { openEmbedder, type Embedder } from './embed.ts'

/** Options that every evaluation has. */
export const subjectOptions = {
  ...commonOptions,
  checkpoint: path('checkpoint artifact of the network that is judged'),
  faces: path('faces artifact it is judged on'),
  out: path('where the report artifact goes'),
  network: choice({
    help: 'what the checkpoint holds',
    choices: ['student', 'teacher'],
    standard: 'student',
  }),
  baseline: choice({
    help: 'also judge the same network with fresh weights',
    choices: ['none', 'untrained'],
    standard: 'none',
  }),
  seed: integer({
    help: 'of the bootstrap and of fresh weights',
    standard: 1,
    min: 0,
    max: 2 ** 31,
  }),
  banner: text({
    help: 'a line on top of the page, such as that the data was drawn',
    standard: '',
  }),
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

/** Counts where inputs went. */
export interface Tally {
  use(): void
  reject(code: string, example: string): void
  toLedger(): Ledger
}

/** An empty tally. */
export function openTally(): Tally {
  let outputs = 0
  let rejected = 0
  const rejects: Record<string, Reject> = {}
  return {
    use: () => void outputs++,
    reject(code, example) {
      const { count, example: first } = rejects[code] ?? { count: 0, example }
      rejects[code] = { count: count + 1, example: first }
      rejected++
    },
    toLedger: () => ({ inputs: outputs + rejected, outputs, rejects }),
  }
}

/** What the body of an evaluation works with. */
export interface Subject {
  readonly faces: Artifact
  /** the checkpoint's network, then, if asked for, the same with fresh weights */
  readonly embedders: readonly Embedder[]
  readonly tally: Tally
}

/** What the body of an evaluation finds; the rest of the report is filled in around it. */
export type Findings = Pick<Report, 'kind' | 'title' | 'headline' | 'beside' | 'probe' | 'triplets'>

/**
 * Opens checkpoint and faces, runs the body, and writes report.json and report.html.
 *
 * @param output the network output that is judged
 */
export async function writeReport(
  options: SubjectOptions,
  { log, work }: Context,
  output: 'embedding' | 'fec',
  body: (subject: Subject) => Promise<Findings>,
): Promise<Manifest> {
  const faces = await openArtifact(options.faces, 'faces')
  const checkpoint = await openCheckpoint(options.checkpoint, options.network)
  const { network, state } = checkpoint
  const inputs = [
    { role: 'checkpoint', digest: checkpoint.digest },
    { role: 'faces', digest: faces.digest },
  ]
  const { out, force } = options
  return writeArtifact({ ...work, kind: 'report', inputs, out, force }, log, async write => {
    const states = [state]
    if (options.baseline === 'untrained') states.push(initialise(network, options.seed))
    const embedders = states.map(of => openEmbedder(network, of, output, options.workers))
    const tally = openTally()
    const findings = await body({ faces, embedders, tally }).finally(() =>
      Promise.all(embedders.map(embedder => embedder.close())),
    )
    const ledger = tally.toLedger()
    const { banner, ...configuration } = work.identity
    const report: Report = {
      report: 1,
      ...findings,
      banner: banner === '' ? null : String(banner),
      ledger,
      configuration: { stage: work.stage, behaviour: work.behaviour, ...configuration },
      digests: Object.fromEntries(inputs.map(({ role, digest }) => [role, digest])),
    }
    await write.file('report.json', encodeReport(report))
    await write.file('report.html', renderReport(report))
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
