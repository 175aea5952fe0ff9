import { sha256, type InputEntry } from '@deepfever/formats'
import type { Experiment } from './experiment.ts'

/** Everything that decides what a run computes; two runs of equal settings give equal bytes. */
export interface Settings {
  readonly stage: string
  readonly behaviour: number
  readonly experiment: Experiment
  readonly inputs: readonly InputEntry[]
  /** the library that computed it and its version: another one rounds otherwise */
  readonly backend: string
}

/** A value that two settings do not share. */
export interface Difference {
  /** `experiment.learningRate`, `inputs.fec` */
  readonly place: string
  readonly found: unknown
  readonly wanted: unknown
}

const isTree = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

function differencesIn(found: unknown, wanted: unknown, place: string): Difference[] {
  if (isTree(found) && isTree(wanted))
    return [...new Set([...Object.keys(wanted), ...Object.keys(found)])].flatMap(key =>
      differencesIn(found[key], wanted[key], place ? `${place}.${key}` : key),
    )
  return JSON.stringify(found) === JSON.stringify(wanted) ? [] : [{ place, found, wanted }]
}

const toTree = ({ inputs, ...settings }: Pick<Settings, 'inputs'> & Partial<Settings>) => ({
  ...settings,
  inputs: Object.fromEntries(inputs.map(({ role, digest }) => [role, digest])),
})

/**
 * Digest of what a run computes but for its seed and what computed it: runs that share it are
 * repetitions of one another.
 */
export function recipeOf({ stage, behaviour, experiment, inputs }: Settings): string {
  const { seed: _seed, ...rest } = experiment
  return sha256(JSON.stringify([stage, behaviour, rest, toTree({ inputs }).inputs]))
}

/** Where two settings differ, value by value. */
export const differencesOf = (found: Settings, wanted: Settings): Difference[] =>
  differencesIn(toTree(found), toTree(wanted), '')

const show = (value: unknown): string => {
  const text = value === undefined ? 'absent' : JSON.stringify(value)
  return text.length > 40 ? `${text.slice(0, 18)}…${text.slice(-4)}` : text
}

/** `experiment.seed 1 there, 2 here; inputs.fec "ab…" there, "cd…" here` */
export const describeDifferences = (differences: readonly Difference[]): string =>
  differences
    .map(({ place, found, wanted }) => `${place} ${show(found)} there, ${show(wanted)} here`)
    .join('; ')
