import { StageError, number, type Context } from '@deepfever/core'
import { faces, type Face } from '@deepfever/formats'
import { evaluateProbe } from '../probe.ts'
import type { Measure } from '../report.ts'
import type { LabelledFeatures } from '../softmax-loss.ts'
import { embedFaces, type EmbeddedBlock } from './embed.ts'
import { subjectOptions, toBaseline, writeReport, type Subject } from './subject.ts'
import type { SubjectOptions, Tally } from './subject.ts'

/** Options of a probe. */
export const probeOptions = {
  ...subjectOptions,
  penalty: number({
    help: "C, the inverse strength of the logistic regression's L2 penalty",
    standard: 10_000,
    min: 1e-6,
    max: 1e12,
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

/** Embeds a corpus, fits the probe on `train`, and judges it on the test split. */
export const runProbe = (
  options: SubjectOptions & { readonly penalty: number },
  context: Context,
  corpus: ProbeCorpus,
) =>
  writeReport(options, context, 'embedding', async subject => {
    const parts = await collectFeatures(options, context, corpus, subject)
    const { classes, balanced } = corpus
    const { penalty: C, seed, workers: threads } = options
    const evaluate = ({ train, test }: Record<Part, LabelledFeatures>) =>
      evaluateProbe({ train, test, classes, C, balanced, seed: String(seed), threads })
    const own = await evaluate(parts[0]!)
    const baseline: Measure[] = []
    for (const part of parts.slice(1)) baseline.push(toBaseline((await evaluate(part)).headline))
    return {
      ...own,
      kind: 'probe',
      title: corpus.title,
      beside: [...own.beside, ...baseline, ...corpus.beside],
      triplets: null,
    }
  })

type Part = 'train' | 'test'

/** Features of the two parts, by embedder. */
async function collectFeatures(
  { workers }: SubjectOptions,
  { log, checkpoint }: Context,
  corpus: ProbeCorpus,
  { faces: artifact, embedders, tally }: Subject,
): Promise<Record<Part, LabelledFeatures>[]> {
  const total = artifact.manifest.tables[faces.name]?.rows ?? 0
  const labels = { train: new Int32Array(total), test: new Int32Array(total) }
  const counts = { train: 0, test: 0 }
  // Untouched pages of these bounds are never made, so two whole bounds cost one.
  const allocate = (width: number) => new Float32Array(new SharedArrayBuffer(total * width * 4))
  const stores = embedders.map(({ width }) => ({ train: allocate(width), test: allocate(width) }))
  const bar = log.progress('embeddings', total)
  const wanted = async function* () {
    for await (const face of artifact.rows(faces)) {
      checkpoint()
      bar.advance()
      const reason = refusalOf(face, corpus)
      if (reason === undefined) yield face
      else tally.reject(reason, face.faceId)
    }
  }
  const put = ({ faces: block, vectors }: EmbeddedBlock) =>
    block.forEach(({ label, split }, i) => {
      const part = partOf(split, corpus)!
      const row = counts[part]++
      labels[part][row] = label
      embedders.forEach(({ width }, e) => {
        stores[e]![part].set(vectors[e]!.subarray(i * width, (i + 1) * width), row * width)
      })
      tally.use()
    })
  for await (const block of embedFaces(wanted(), embedders, workers)) {
    put(block)
    rejectAll(tally, block)
  }
  bar.done()
  for (const part of ['train', 'test'] as const) requirePart(artifact.path, part, counts, corpus)
  return embedders.map(({ width }, e) => {
    const toPart = (part: Part): LabelledFeatures => ({
      features: stores[e]![part].subarray(0, counts[part] * width),
      labels: labels[part].subarray(0, counts[part]),
      width,
    })
    return { train: toPart('train'), test: toPart('test') }
  })
}

/** Counts the faces of a block that could not be decoded. */
export function rejectAll(tally: Tally, { rejected }: EmbeddedBlock): void {
  for (const { face, code } of rejected) tally.reject(code, face.faceId)
}

function partOf(split: string, { testSplits }: ProbeCorpus): Part | undefined {
  if (split === 'train') return 'train'
  return testSplits.includes(split) ? 'test' : undefined
}

function refusalOf({ label, split }: Face, corpus: ProbeCorpus): string | undefined {
  if (label < 0) return 'no_label'
  if (label >= corpus.classes.length) return 'class_left_out'
  return partOf(split, corpus) === undefined ? 'other_split' : undefined
}

function requirePart(
  place: string,
  part: Part,
  counts: Readonly<Record<Part, number>>,
  { testSplits, classes }: ProbeCorpus,
): void {
  if (counts[part] > 0) return
  const splits = part === 'train' ? 'train' : testSplits.join(' or ')
  throw new StageError(
    `${place}: no labelled face of split ${splits} (train ${counts.train}, test ${counts.test}), ` +
      `wanted faces labelled 0 to ${classes.length - 1}; make it from a whole corpus: ` +
      'npx deepfever detect --help',
    { path: place, found: counts, wanted: splits },
  )
}
