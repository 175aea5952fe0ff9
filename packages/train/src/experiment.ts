import { UsageError } from '@deepfever/core'
import type { NetworkSpecification } from '@deepfever/models'

/** Everything that decides what a training run computes, as plain data. */
export interface Experiment {
  readonly network: NetworkSpecification
  /** 'pretrained': published weights of the backbone from datasets/weights; 'random': seeded */
  readonly init: 'pretrained' | 'random'
  /** passes over the FEC triplets; the other streams loop */
  readonly epochs: number
  /** what one step takes from each stream: triplets (three faces each), labelled, unlabelled */
  readonly batch: {
    readonly triplets: number
    readonly labelled: number
    readonly unlabelled: number
  }
  /** part of the FEC training triplets that are kept back to find the best step */
  readonly heldOut: number
  /** part of the unlabelled faces that is used; a smaller part is contained in a larger one */
  readonly unlabelledFraction: number
  readonly learningRate: number
  /** Nesterov's */
  readonly momentum: number
  /** weight of each loss in the sum; a loss of weight 0 is not computed */
  readonly losses: {
    readonly triplet: number
    readonly crossEntropy: number
    readonly rkdDistance: number
    readonly rkdAngle: number
  }
  /** margin of the triplet loss by kind of triplet */
  readonly margins: Readonly<Record<string, number>>
  /** each face is mirrored with probability 1/2, in network and target alike */
  readonly flip: boolean
  /** one batch-norm batch a step, or one a data set */
  readonly batchNormBatches: 'joint' | 'per-dataset'
  readonly seed: number
}

/** Any part of an experiment. */
export type Overlay<T = Experiment> = {
  readonly [K in keyof T]?: T[K] extends readonly unknown[]
    ? T[K]
    : T[K] extends object
      ? Overlay<T[K]>
      : T[K]
}

/** A file of configs/: the paper's values, and named overlays that change some of them. */
export interface ExperimentFile {
  readonly experiment: Experiment
  readonly overlays: Readonly<Record<string, Overlay>>
}

type Tree = Readonly<Record<string, unknown>>
const isTree = (value: unknown): value is Tree =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

const kindOf = (value: unknown): string =>
  Array.isArray(value) ? 'list' : value === null ? 'null' : typeof value

function merge(base: Tree, overlay: Tree, path: string): Tree {
  const merged: Record<string, unknown> = { ...base }
  for (const [key, value] of Object.entries(overlay)) {
    const place = path ? `${path}.${key}` : key
    if (!Object.hasOwn(base, key))
      throw new UsageError(`${place}: no such setting; here: ${Object.keys(base).join(', ')}`, {
        found: place,
      })
    const old = base[key]
    if (isTree(old) && isTree(value)) merged[key] = merge(old, value, place)
    else if (kindOf(old) !== kindOf(value))
      throw new UsageError(
        `${place}: found ${JSON.stringify(value)}, wanted a value like ${JSON.stringify(old)}`,
        { found: value, wanted: old },
      )
    else merged[key] = value
  }
  return merged
}

/**
 * The experiment with the overlay's values in place of its own.
 *
 * @throws UsageError when the overlay has a key, or a type, that the experiment lacks
 */
export const withOverlay = (experiment: Experiment, overlay: Overlay): Experiment =>
  merge(experiment as unknown as Tree, overlay, '') as unknown as Experiment

/** Whether an experiment learns from targets. */
export const isDistilled = ({ losses }: Experiment): boolean =>
  losses.rkdDistance > 0 || losses.rkdAngle > 0
