import type { Log } from '@deepfever/core'
import { encodeEvent, encodeEventStart } from '@deepfever/formats'
import type { RunCurves } from './run-curves.ts'
import type { RunFile } from './run-files.ts'

/** Losses of every step, one JSON line each; equal runs write equal bytes. */
export const METRICS = 'metrics.jsonl'
/** Speed over stretches of some seconds, one JSON line each. */
export const SPEED = 'speed.jsonl'
/** The same for TensorBoard. */
export const EVENTS = 'events.out.tfevents.0.deepfever'

/** The files that grow with a run. */
export const RUN_FILES = [METRICS, SPEED, EVENTS] as const

/** What a step reports. */
interface StepFacts {
  readonly step: number
  readonly epoch: number
  /** the weighted sum as `total`, then the unweighted parts */
  readonly losses: Readonly<Record<string, number>>
  readonly images: number
  /** how long the step waited for its batch */
  readonly waitMs: number
}

/** A stretch of a run: a line of speed.jsonl. */
interface Speed {
  /** steps done at its end */
  readonly step: number
  readonly seconds: number
  readonly imagesPerSecond: number
  /** part of the time spent waiting for a batch */
  readonly waitShare: number
}

/** Tells a run's steps to its files and to the log. */
export interface RunLog {
  step(facts: StepFacts): void
  done(): void
}

const STRETCH_MS = 10_000
/** TensorBoard draws a thousand points; more would only fill the disk. */
const MOST_EVENTS = 20_000

const round = (value: number, digits = 4): number => Number(value.toPrecision(digits))

interface LoggedRun {
  readonly log: Log
  /** step it goes on at */
  readonly first: number
  readonly total: number
  readonly curves: RunCurves
}

/** Opens the log of a run. */
export function openRunLog(
  files: Readonly<Record<(typeof RUN_FILES)[number], RunFile>>,
  { log, first, total, curves }: LoggedRun,
): RunLog {
  const bar = log.progress('steps', total - first)
  const every = Math.ceil(total / MOST_EVENTS)
  const wallSeconds = () => Date.now() / 1000
  if (first === 0) files[EVENTS].append(encodeEventStart(wallSeconds()))
  let since = performance.now()
  let images = 0
  let waitMs = 0
  let step = first
  let speed: Speed | undefined

  const endStretch = () => {
    const seconds = (performance.now() - since) / 1000
    speed = {
      ...{ step, seconds: round(seconds) },
      imagesPerSecond: round(images / seconds),
      waitShare: round(waitMs / 1000 / seconds, 3),
    }
    files[SPEED].append(`${JSON.stringify(speed)}\n`)
    curves.speed({ ...speed })
    since = performance.now()
    images = waitMs = 0
  }

  return {
    step(facts) {
      images += facts.images
      waitMs += facts.waitMs
      step = facts.step + 1
      const { epoch, losses } = facts
      const line = { step: facts.step, epoch, ...losses }
      files[METRICS].append(`${JSON.stringify(line)}\n`)
      curves.step(line)
      if (performance.now() - since >= STRETCH_MS) endStretch()
      if (facts.step % every === 0) {
        const tagged = Object.entries(losses).map(([name, value]) => [`loss/${name}`, value])
        const scalars = Object.fromEntries(tagged) as Record<string, number>
        if (speed) scalars.imagesPerSecond = speed.imagesPerSecond
        files[EVENTS].append(encodeEvent({ wallSeconds: wallSeconds(), step: facts.step, scalars }))
      }
      bar.advance(1, {
        ...Object.fromEntries(Object.entries(losses).map(([name, value]) => [name, round(value)])),
        ...(speed && { imagesPerSecond: speed.imagesPerSecond, waitShare: speed.waitShare }),
      })
    },
    done() {
      if (images > 0) endStretch()
      bar.done()
    },
  }
}
