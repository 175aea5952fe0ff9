import { html, type Html } from '@deepfever/core'

/** Values over steps; where there are more than a line can show, neighbours are drawn as one. */
export interface Curve {
  readonly label: string
  readonly points: readonly { readonly step: number; readonly value: number }[]
}

/** Size of the drawing in its own units. */
const WIDTH = 640
const HEIGHT = 150
/** Points of a line; each stands for the mean of its stretch. */
const MOST = 160

interface Stretch {
  readonly step: number
  readonly mean: number
  readonly low: number
  readonly high: number
}

function stretchesOf(points: Curve['points']): Stretch[] {
  const length = Math.max(1, Math.ceil(points.length / MOST))
  const stretches: Stretch[] = []
  for (let at = 0; at < points.length; at += length) {
    const part = points.slice(at, at + length)
    const values = part.map(({ value }) => value)
    stretches.push({
      step: part.at(-1)!.step,
      mean: values.reduce((sum, value) => sum + value, 0) / values.length,
      low: Math.min(...values),
      high: Math.max(...values),
    })
  }
  return stretches
}

/** Four digits: `0.3002`. */
export const shortNumber = (value: number): string => String(Number(value.toPrecision(4)))

/** A curve as a drawing: the mean of each stretch as a line, its lowest and highest as a band. */
export function drawCurve({ label, points }: Curve): Html {
  const stretches = stretchesOf(points.filter(({ value }) => Number.isFinite(value)))
  const [first, last] = [stretches[0], stretches.at(-1)]
  if (first === undefined || last === undefined)
    return html`<figure>
      <figcaption>${label}: nothing recorded</figcaption>
    </figure>`
  const low = Math.min(...stretches.map(stretch => stretch.low))
  const high = Math.max(...stretches.map(stretch => stretch.high))
  const span = high - low || 1
  const width = last.step - first.step || 1
  const place = (step: number, value: number) =>
    `${((WIDTH * (step - first.step)) / width).toFixed(1)},${(HEIGHT * (1 - (value - low) / span)).toFixed(1)}`
  const line = stretches.map(({ step, mean }) => place(step, mean)).join(' ')
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
