import { element, percent } from './face-card.ts'

/** The largest face of one moment. */
export interface Moment {
  readonly seconds: number
  /** probability of each label; undefined where no face was found */
  readonly expression: Float32Array | undefined
}

const WIDTH = 600
const HEIGHT = 160
const SVG = 'http://www.w3.org/2000/svg'

function svg(name: string, attributes: Readonly<Record<string, string | number>>): SVGElement {
  const made = document.createElementNS(SVG, name)
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, String(value))
  return made
}

/** Probabilities of the largest face over time: a line a class, and the same as a table. */
export function drawTimeline(
  place: HTMLElement,
  moments: readonly Moment[],
  labels: readonly string[],
): void {
  const from = moments[0]?.seconds ?? 0
  const span = Math.max((moments.at(-1)?.seconds ?? 0) - from, 1e-3)
  const chart = svg('svg', { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: 'img' })
  chart.setAttribute('aria-label', 'Probability of each expression over time; table below')
  for (const share of [0, 0.5, 1]) {
    const y = HEIGHT * (1 - share)
    chart.append(svg('line', { x1: 0, x2: WIDTH, y1: y, y2: y, class: 'grid' }))
  }
  labels.forEach((_, k) => {
    let path = ''
    let pen = 'M'
    for (const { seconds, expression } of moments) {
      if (!expression) {
        pen = 'M'
        continue
      }
      const x = (WIDTH * (seconds - from)) / span
      path += `${pen}${x.toFixed(1)} ${(HEIGHT * (1 - expression[k]!)).toFixed(1)}`
      pen = 'L'
    }
    chart.append(svg('path', { d: path || 'M0 0', class: `line class-${k % 8}` }))
  })
  const legend = element('ul', '', 'legend')
  labels.forEach((label, k) => {
    const entry = element('li', label)
    entry.prepend(element('i', '', `swatch class-${k % 8}`))
    legend.append(entry)
  })
  place.replaceChildren(
    chart,
    element('p', `${from.toFixed(1)} s to ${(from + span).toFixed(1)} s, 0 to 100 %`, 'soft'),
    legend,
    momentTable(moments, labels),
  )
}

function momentTable(moments: readonly Moment[], labels: readonly string[]): HTMLElement {
  const table = element('table')
  const head = table.createTHead().insertRow()
  for (const text of ['Second', 'Expression', 'Probability']) {
    const cell = element('th', text)
    cell.scope = 'col'
    head.append(cell)
  }
  const body = table.createTBody()
  for (const { seconds, expression } of moments) {
    const best = expression ? expression.indexOf(Math.max(...expression)) : -1
    const row = body.insertRow()
    row.insertCell().textContent = seconds.toFixed(1)
    row.insertCell().textContent = labels[best] ?? 'no face'
    row.insertCell().textContent = expression ? percent(expression[best]!) : ''
  }
  const details = element('details')
  details.append(element('summary', 'As a table'), table)
  return details
}
