import { html, type Html } from '@deepfever/core'

/** Neighbouring values of a curve, drawn as one point. */
interface Stretch {
  /** of its last value */
  readonly step: number
  readonly count: number
  readonly mean: number
  readonly low: number
  readonly high: number
}

/** Values over steps, recorded while a run goes on, in memory that does not grow with it. */
export interface Curve {
  /** Adds a value; one that is no number is left out. */
  add(step: number, value: number): void
  /** at most 320, each of as many values but for the last */
  readonly stretches: readonly Stretch[]
}

const MOST = 320

const join = (a: Stretch, b: Stretch): Stretch => ({
  step: b.step,
  count: a.count + b.count,
  mean: (a.mean * a.count + b.mean * b.count) / (a.count + b.count),
  low: Math.min(a.low, b.low),
  high: Math.max(a.high, b.high),
})

/** Opens an empty curve. */
export function openCurve(): Curve {
  let stretches: Stretch[] = []
  let length = 1
  return {
    get stretches() {
      return stretches
    },
    add(step, value) {
      if (!Number.isFinite(value)) return
      const point = { step, count: 1, mean: value, low: value, high: value }
      const last = stretches.at(-1)
      if (last !== undefined && last.count < length) {
        stretches[stretches.length - 1] = join(last, point)
        return
      }
      if (stretches.length === MOST) {
        stretches = stretches.flatMap((one, i) => (i % 2 ? [join(stretches[i - 1]!, one)] : []))
        length *= 2
      }
      stretches.push(point)
    },
  }
}

/** Size of the drawing in its own units. */
const WIDTH = 640
const HEIGHT = 150

/** Four digits: `0.3002`. */
export const shortNumber = (value: number): string => String(Number(value.toPrecision(4)))

/** A curve as a drawing: the mean of each stretch as a line, its lowest and highest as a band. */
export function drawCurve(label: string, { stretches }: Curve): Html {
  const [first, last] = [stretches[0], stretches.at(-1)]
  if (first === undefined || last === undefined)
    return html`<figure>
      <figcaption>${label}: nothing recorded</figcaption>
    </figure>`
  const low = Math.min(...stretches.map(stretch => stretch.low))
  const high = Math.max(...stretches.map(stretch => stretch.high))
  const width = last.step - first.step || 1
  // What does not change is a line half-way up.
  const heightOf = (value: number) => (high > low ? 1 - (value - low) / (high - low) : 1 / 2)
  const place = (step: number, value: number) =>
    `${((WIDTH * (step - first.step)) / width).toFixed(1)},${(HEIGHT * heightOf(value)).toFixed(1)}`
  const end = stretches.length === 1 ? [{ ...first, step: first.step + 1 }] : []
  const line = [...stretches, ...end].map(({ step, mean }) => place(step, mean)).join(' ')
  const top = stretches.map(stretch => place(stretch.step, stretch.high))
  const bottom = stretches.map(stretch => place(stretch.step, stretch.low)).reverse()
  const summary = `${label}: ${shortNumber(first.mean)} to ${shortNumber(last.mean)}`
  return html`<figure>
    <figcaption>${summary}</figcaption>
    <div class="plot">
      <span class="high">${shortNumber(high)}</span>
      <span class="low">${shortNumber(low)}</span>
      <svg viewBox="0 0 ${WIDTH} ${HEIGHT}" preserveAspectRatio="none" role="img">
        <title>${summary}</title>
        <polygon points="${[...top, ...bottom].join(' ')}" />
        <polyline points="${line}" />
      </svg>
    </div>
    <div class="steps"><span>step ${first.step}</span><span>${last.step}</span></div>
  </figure>`
}
