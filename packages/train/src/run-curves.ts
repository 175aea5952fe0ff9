import { createReadStream } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { openCurve, type Curve } from './curve.ts'
import { METRICS, SPEED } from './run-log.ts'

/** A line of metrics.jsonl or speed.jsonl. */
type Line = Readonly<Record<string, number>>

/** What a run's page draws, kept while the run goes on. */
export interface RunCurves {
  /** by name of the loss, in the order of metrics.jsonl */
  readonly losses: ReadonlyMap<string, Curve>
  readonly speeds: { readonly imagesPerSecond: Curve; readonly waitShare: Curve }
  /** over all stretches of the run; undefined before the first */
  readonly mean: { seconds: number; imagesPerSecond: number; waitShare: number } | undefined
  /** Adds a line of metrics.jsonl. */
  step(line: Line): void
  /** Adds a line of speed.jsonl. */
  speed(line: Line): void
}

/** Opens the curves of a run that begins. */
export function openRunCurves(): RunCurves {
  const losses = new Map<string, Curve>()
  const speeds = { imagesPerSecond: openCurve(), waitShare: openCurve() }
  const sums = { seconds: 0, images: 0, waited: 0 }
  const curveOf = (name: string): Curve => {
    const found = losses.get(name) ?? openCurve()
    losses.set(name, found)
    return found
  }
  return {
    losses,
    speeds,
    get mean() {
      const { seconds, images, waited } = sums
      if (seconds === 0) return undefined
      return { seconds, imagesPerSecond: images / seconds, waitShare: waited / seconds }
    },
    step({ step = 0, epoch: _epoch, ...values }) {
      // A value that is no number stands as null in JSON.
      for (const [name, value] of Object.entries(values)) curveOf(name).add(step, value ?? NaN)
    },
    speed({ step = 0, seconds = 0, imagesPerSecond = 0, waitShare = 0 }) {
      speeds.imagesPerSecond.add(step, imagesPerSecond)
      speeds.waitShare.add(step, waitShare)
      sums.seconds += seconds
      sums.images += imagesPerSecond * seconds
      sums.waited += waitShare * seconds
    },
  }
}

/** The curves of a run that goes on, from the whole lines of its records in `folder`. */
export async function readRunCurves(folder: string): Promise<RunCurves> {
  const curves = openRunCurves()
  for (const [name, add] of [
    [METRICS, curves.step],
    [SPEED, curves.speed],
  ] as const) {
    const input = createReadStream(join(folder, name))
    for await (const line of createInterface({ input })) if (line) add(JSON.parse(line) as Line)
  }
  return curves
}
