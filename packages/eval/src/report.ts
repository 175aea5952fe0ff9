import type { Scalar } from '@deepfever/core'
import type { Ledger } from '@deepfever/formats'
import type { Training } from '@deepfever/models'
import type { Interval } from './bootstrap.ts'
import type { CodeCurve } from './code-curve.ts'
import type { Estimate } from './estimate.ts'
import type { ClassificationScore } from './metrics.ts'
import type { TripletScore } from './triplet-accuracy.ts'

/** One number of a report. */
export interface Measure {
  readonly label: string
  /** 0 to 1; null where nothing could be judged */
  readonly value: number | null
  /** rows or triplets judged; null where a published number does not say */
  readonly n: number | null
  readonly interval: Interval | null
  readonly note: string
  /** the same on the whole split, where entries without a face count as wrong */
  readonly whole?: Estimate
}

/** Ends the label of the headline's measure with what the leakage gate left out. */
export const WITH_LEAKED = ', leaked included'

/** How a fit ended. */
export interface FitRecord {
  readonly iterations: number
  readonly reason: string
  readonly objective: number
  readonly gradientMax: number
  readonly accuracy: number | null
}

/** Results of a linear probe: the model at its optimum and as it stood after 100 iterations. */
export interface ProbeDetails {
  readonly converged: ClassificationScore
  readonly stopped: ClassificationScore
  readonly fits: Readonly<Record<'converged' | 'stopped', FitRecord>>
  readonly trainRows: number
}

/** A face on the page. */
export interface ShownFace {
  readonly id: string
  readonly source: string
  /** name of its class */
  readonly label: string
}

/** A wrong answer, with the training faces that lie nearest. */
export interface Mistake extends ShownFace {
  readonly predicted: string
  readonly confidence: number
  readonly neighbours: readonly (ShownFace & { readonly cosine: number })[]
}

/** Test faces whose picture is in training too. */
export interface LeakageRecord {
  readonly tested: number
  readonly leaked: number
  /** triplets that name a leaked face, where triplets were judged */
  readonly triplets?: number
  readonly examples: readonly {
    readonly test: string
    readonly train: string
    readonly bits: number
    readonly likeness: number
  }[]
}

/** What was evaluated, on what, with what result; report.json is this and nothing else. */
export interface Report {
  readonly report: 2
  readonly kind: 'probe' | 'triplets'
  readonly title: string
  /** stands on top of the page, for example that the data was drawn; null for none */
  readonly banner: string | null
  /** what made the vectors */
  readonly extractor: string
  /** the run behind it; null where that is not known, as of an ONNX file */
  readonly training: Training | null
  readonly headline: Measure
  /** other numbers that the headline is to be read with, the untrained student's among them */
  readonly beside: readonly Measure[]
  readonly probe: ProbeDetails | null
  readonly triplets: readonly TripletScore[] | null
  readonly leakage: LeakageRecord | null
  readonly mistakes: readonly Mistake[]
  /** where it was asked for */
  readonly codes?: CodeCurve
  readonly ledger: Ledger
  readonly configuration: Readonly<Record<string, Scalar>>
  /** sha256 of every input by role */
  readonly digests: Readonly<Record<string, string>>
}

/** The bytes of report.json. */
export const encodeReport = (report: Report): string => `${JSON.stringify(report, null, 1)}\n`
