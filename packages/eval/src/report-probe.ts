import { html, trustedHtml, type Html } from '@deepfever/core'
import type { ClassificationScore } from './metrics.ts'
import { percent, place } from './report-parts.ts'
import type { FitRecord, ProbeDetails } from './report.ts'

/** Strongest mix of the heat colour: text keeps a contrast above 7:1 in light and dark. */
const FULL_HEAT = 55

/** Confusion matrix, rates by class and the two fits. */
export const probeSections = ({ converged, stopped, fits, trainRows }: ProbeDetails): Html => html`
  <section>
    <h2>Confusion matrix</h2>
    ${heatmap(stopped, `After ${fits.stopped.iterations} iterations`)}
    <details>
      <summary>The same at the optimum</summary>
      ${heatmap(converged, `Converged, ${fits.converged.iterations} iterations`)}
    </details>
  </section>
  <section>
    <h2>By class</h2>
    ${classTable(stopped)}
  </section>
  <section>
    <h2>The two fits</h2>
    <p class="soft">Logistic regression on ${trainRows} training rows, L-BFGS from zeros.</p>
    <div class="scroll" tabindex="0" role="region" aria-label="The two fits">
      <table>
        <thead>
          <tr>
            <th scope="col">Fit</th>
            <th scope="col">Iterations</th>
            <th scope="col">Ended by</th>
            <th scope="col">Objective</th>
            <th scope="col">Max |gradient|</th>
            <th scope="col">Accuracy</th>
          </tr>
        </thead>
        <tbody>
          ${fitRow('Stopped', fits.stopped)} ${fitRow('Converged', fits.converged)}
        </tbody>
      </table>
    </div>
  </section>
`

const fitRow = (name: string, fit: FitRecord): Html => html`
  <tr>
    <th scope="row">${name}</th>
    <td>${fit.iterations}</td>
    <td>${fit.reason}</td>
    <td>${fit.objective.toPrecision(8)}</td>
    <td>${fit.gradientMax.toExponential(1)}</td>
    <td>${percent(fit.accuracy)}</td>
  </tr>
`

const heatmap = ({ confusion, classes }: ClassificationScore, label: string): Html => html`
  <p class="soft">
    ${label}. Rows: true class; columns: predicted; each cell: faces and share of the row.
  </p>
  <div class="scroll" tabindex="0" role="region" aria-label="Confusion matrix, ${label}">
    <table class="heat">
      <thead>
        <tr>
          <th scope="col">True</th>
          ${classes.map(({ name }) => html`<th scope="col">${name}</th>`)}
        </tr>
      </thead>
      <tbody>
        ${confusion.map(
          (cells, k) => html`
            <tr>
              <th scope="row">${classes[k]!.name}</th>
              ${cells.map((count, j) => heatCell(count, classes[k]!.support, k === j))}
            </tr>
          `,
        )}
      </tbody>
    </table>
  </div>
`

function heatCell(count: number, support: number, own: boolean): Html {
  const share = support === 0 ? 0 : count / support
  return html`<td
    ${own && trustedHtml('class="own"')}
    style="--share:${(FULL_HEAT * share).toFixed(1)}%"
  >
    ${count}<small>${support === 0 ? '' : `${(100 * share).toFixed(0)} %`}</small>
  </td>`
}

const classTable = ({ classes }: ClassificationScore): Html => html`
  <div class="scroll" tabindex="0" role="region" aria-label="By class">
    <table>
      <thead>
        <tr>
          <th scope="col">Class</th>
          <th scope="col">Faces</th>
          <th scope="col">Precision</th>
          <th scope="col">Recall</th>
          <th scope="col">F1</th>
          <th scope="col" class="wide">Recall 0 to 100 %</th>
        </tr>
      </thead>
      <tbody>
        ${classes.map(
          one => html`
            <tr>
              <th scope="row">${one.name}</th>
              <td>${one.support}</td>
              <td>${percent(one.precision)}</td>
              <td>${percent(one.recall)}</td>
              <td>${percent(one.f1)}</td>
              <td class="bar"><i style="--share:${place(one.recall ?? 0)}"></i></td>
            </tr>
          `,
        )}
      </tbody>
    </table>
  </div>
`
