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
  /** how the teachers' answers are learned: one kind, weighted by its losses */
  readonly distillation: 'none' | 'relational' | 'smooth-l1' | 'mean-squared' | 'kl-divergence'
  /** teachers that are learned from, by their place in the targets artifact, from 0 */
  readonly teachers: readonly number[]
  /** divides the logits of 'kl-divergence' */
  readonly temperature: number
  /** weight of each loss in the sum; a loss of weight 0 is not computed */
  readonly losses: {
    readonly triplet: number
    readonly crossEntropy: number
    readonly rkdDistance: number
    readonly rkdAngle: number
    /** of 'smooth-l1', 'mean-squared' and 'kl-divergence' */
    readonly direct: number
  }
  /** margin of the triplet loss by kind of triplet */
  readonly margins: Readonly<Record<string, number>>
  /** each face is mirrored with probability 1/2, in network and target alike */
  readonly flip: boolean
  /** one batch-norm batch a step, or one a data set */
  readonly batchNormBatches: 'joint' | 'per-dataset'
  /** a compiled step computes the inputs of dense layers twice instead of keeping them */
  readonly recompute: boolean
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
export const isDistilled = ({ distillation }: Experiment): boolean => distillation !== 'none'

/** An experiment file that differs from another in `change`, at full size and at smoke size. */
export const variantOf = (
  { experiment, overlays }: ExperimentFile,
  change: Overlay,
  smokeChange: Overlay = {},
): ExperimentFile => ({
  experiment: withOverlay(experiment, change),
  overlays: {
    smoke: withOverlay(
      withOverlay(withOverlay(experiment, overlays.smoke ?? {}), change),
      smokeChange,
    ),
  },
})

/**
 * `losses.rkdAngle=0,init=random` as an overlay; values are JSON, or text where they are none.
 *
 * @throws UsageError when a part is not `key=value`
 */
export function parseOverlay(text: string): Overlay {
  const overlay: Record<string, unknown> = {}
  for (const part of text === '' ? [] : text.split(/,(?=[A-Za-z][\w.]*=)/)) {
    const [, path, value] = /^([A-Za-z][\w.]*)=(.*)$/s.exec(part) ?? []
    if (path === undefined || value === undefined)
      throw new UsageError(`--set: found ${part}, wanted key=value, such as losses.rkdAngle=0`, {
        found: part,
      })
    const keys = path.split('.')
    const last = keys.pop()!
    let place = overlay
    for (const key of keys) place = (place[key] ??= {}) as Record<string, unknown>
    place[last] = parseValue(value)
  }
  return overlay as Overlay
}

function parseValue(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}
