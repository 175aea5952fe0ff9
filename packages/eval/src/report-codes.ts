import { html, type Html } from '@deepfever/core'
import type { CodeCurve, CodePoint } from './code-curve.ts'
import { percent } from './report-parts.ts'

/** Size of the drawing; the plot lies inside its margins. */
const BOX = { width: 500, height: 260, left: 58, right: 16, top: 12, bottom: 32 }

/** What bytes a face cost, as a drawing and as a table. */
export const codesSection = (curve: CodeCurve): Html => html`
  <section>
    <h2>Bytes a face</h2>
    <p class="soft">
      Product codes of the vectors, a byte a part; the last row is float32. All vectors have one
      length here, so that row need not be the headline. Every row is coded by a codebook that was
      learned from other rows (${curve.learnedFrom}).
    </p>
    <figure class="curve">
      ${drawing(curve)}
      <figcaption class="soft">
        Over bytes a face: solid, ${curve.measure.toLowerCase()} with its interval; dashed, share
        found of the ${curve.nearest} nearest; dotted, cosine.
      </figcaption>
    </figure>
    <div class="scroll" tabindex="0" role="region" aria-label="Bytes a face">
      <table>
        <thead>
          <tr>
            <th scope="col">Bytes</th>
            <th scope="col">${curve.measure}</th>
            <th scope="col">Interval</th>
            <th scope="col">Found of the ${curve.nearest} nearest</th>
            <th scope="col">Cosine to the exact</th>
          </tr>
        </thead>
        <tbody>
          ${curve.points.map(
            point => html`
              <tr>
                <th scope="row">${point.bytes}</th>
                <td>${percent(point.accuracy)}</td>
                <td>${rangeText(point)}</td>
                <td>${percent(point.recall)}</td>
                <td>${point.cosine.toFixed(4)}</td>
              </tr>
            `,
          )}
        </tbody>
      </table>
    </div>
  </section>
`

const rangeText = ({ interval }: CodePoint): string =>
  interval === null
    ? 'none'
    : `${(100 * interval.low).toFixed(1)} to ${(100 * interval.high).toFixed(1)} %`

/** Bytes on a logarithmic axis, shares from 0 to 100 %. */
function drawing({ points, measure }: CodeCurve): Html {
  const { width, height, left, right, top, bottom } = BOX
  const logs = points.map(({ bytes }) => Math.log2(bytes))
  const [first, last] = [logs[0] ?? 0, logs.at(-1) ?? 1]
  const x = (log: number) => left + ((width - left - right) * (log - first)) / (last - first || 1)
  const y = (share: number) => top + (height - top - bottom) * (1 - Math.min(1, Math.max(0, share)))
  const path = (shareOf: (point: CodePoint) => number | null) =>
    points
      .flatMap((point, i) => {
        const share = shareOf(point)
        return share === null ? [] : [`${x(logs[i]!).toFixed(1)},${y(share).toFixed(1)}`]
      })
      .join(' ')
  const base = height - bottom
  return html`<svg
    viewBox="0 0 ${width} ${height}"
    role="img"
    aria-label="${measure}, share of nearest found and cosine over bytes a face; the table has the numbers"
  >
    ${[0, 0.25, 0.5, 0.75, 1].map(
      share =>
        html`<line
            class="grid"
            x1="${left}"
            x2="${width - right}"
            y1="${y(share)}"
            y2="${y(share)}"
          />
          <text x="${left - 8}" y="${y(share) + 6}" text-anchor="end">${100 * share} %</text>`,
    )}
    ${points.map(
      ({ bytes }, i) =>
        html`<text x="${x(logs[i]!).toFixed(1)}" y="${base + 24}" text-anchor="middle"
          >${bytes}</text
        >`,
    )}
    ${points.map(
      ({ interval }, i) =>
        interval &&
        html`<line
          class="range"
          x1="${x(logs[i]!).toFixed(1)}"
          x2="${x(logs[i]!).toFixed(1)}"
          y1="${y(interval.low).toFixed(1)}"
          y2="${y(interval.high).toFixed(1)}"
        />`,
    )}
    <polyline class="line cosine" points="${path(({ cosine }) => cosine)}" />
    <polyline class="line recall" points="${path(({ recall }) => recall)}" />
    <polyline class="line" points="${path(({ accuracy }) => accuracy)}" />
    ${points.map(
      ({ accuracy }, i) =>
        accuracy !== null &&
        html`<circle
          class="dot"
          cx="${x(logs[i]!).toFixed(1)}"
          cy="${y(accuracy).toFixed(1)}"
          r="5"
        />`,
    )}
  </svg>`
}
