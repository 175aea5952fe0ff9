import { html, trustedHtml, type Html } from '@deepfever/core'
import type { ClassificationScore } from './metrics.ts'
import { reportStyle } from './report-style.ts'
import type { FitRecord, Measure, ProbeDetails, Report } from './report.ts'
import type { TripletScore } from './triplet-accuracy.ts'

/** Strongest mix of the heat colour: text keeps a contrast above 7:1 in light and dark. */
const FULL_HEAT = 55

/** The whole page: one file, no script, no request; every value is escaped. */
export function renderReport(report: Report): string {
  const { title, banner, headline, beside, probe, triplets } = report
  const page = html`<!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <meta
          http-equiv="Content-Security-Policy"
          content="default-src 'none'; style-src 'unsafe-inline'"
        />
        <title>${title}</title>
        <style>
          ${trustedHtml(reportStyle)}
        </style>
      </head>
      <body>
        <main>
          ${banner !== null && html`<p class="banner" role="note">${banner}</p>`}
          <h1>${title}</h1>
          <section>
            <h2>${headline.label}</h2>
            <p class="number">${percent(headline.value)}</p>
            <p>${intervalText(headline)}</p>
            <p class="soft">${headline.note}</p>
          </section>
          ${beside.length > 0 && measureList([{ ...headline, note: '' }, ...beside])}
          ${probe && probeSections(probe)} ${triplets && tripletTable(triplets)}
          ${ledgerFunnel(report)} ${pairs('Configuration', report.configuration, '')}
          ${pairs('Inputs by sha256', report.digests, 'digest')}
        </main>
      </body>
    </html> `
  return page.toString()
}

const percent = (value: number | null): string =>
  value === null ? 'none' : `${(100 * value).toFixed(1)} %`

const place = (share: number): string => `${(100 * Math.min(1, Math.max(0, share))).toFixed(2)}%`

function intervalText({ interval, n }: Measure): string {
  if (interval === null) return n === null ? '' : `n = ${n}`
  const { low, high, level, resamples } = interval
  const range = `${(100 * low).toFixed(1)} to ${(100 * high).toFixed(1)} %`
  return `${100 * level} % interval ${range} (bootstrap, ${resamples} resamples), n = ${n}`
}

const measureList = (measures: readonly Measure[]): Html => html`
  <section>
    <h2>Results side by side</h2>
    <ul class="measures">
      ${measures.map(
        measure => html`
          <li>
            <span>${measure.label}</span>
            ${track(measure)}
            <b>${percent(measure.value)}</b>
            <span class="soft"
              >${[intervalText(measure), measure.note].filter(Boolean).join('; ')}</span
            >
          </li>
        `,
      )}
    </ul>
    <p class="soft">The bars run from 0 to 100 %; the band is the interval.</p>
  </section>
`

function track({ value, interval }: Measure): Html {
  const band =
    interval &&
    html`<i
      class="band"
      style="--from:${place(interval.low)};--span:${place(interval.high - interval.low)}"
    ></i>`
  const tick = value !== null && html`<i class="tick" style="--at:${place(value)}"></i>`
  return html`<span class="track" aria-hidden="true">${band}${tick}</span>`
}

const probeSections = ({ converged, stopped, fits, trainRows }: ProbeDetails): Html => html`
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
            </tr>
          `,
        )}
      </tbody>
    </table>
  </div>
`

const tripletTable = (scores: readonly TripletScore[]): Html => html`
  <section>
    <h2>By kind of triplet</h2>
    <div class="scroll" tabindex="0" role="region" aria-label="By kind of triplet">
      <table>
        <thead>
          <tr>
            <th scope="col">Kind</th>
            <th scope="col">Judged</th>
            <th scope="col">Correct</th>
            <th scope="col">Accuracy</th>
            <th scope="col">Missing a face</th>
          </tr>
        </thead>
        <tbody>
          ${scores.map(
            one => html`
              <tr>
                <th scope="row">${one.kind}</th>
                <td>${one.n}</td>
                <td>${one.correct}</td>
                <td>${percent(one.accuracy)}</td>
                <td>${one.missing}</td>
              </tr>
            `,
          )}
        </tbody>
      </table>
    </div>
  </section>
`

function ledgerFunnel({ ledger }: Report): Html {
  const { inputs, outputs, rejects } = ledger
  const rows = [
    { name: 'Inputs', count: inputs, example: '' },
    ...Object.entries(rejects).map(([code, { count, example }]) => ({
      name: `Rejected: ${code}`,
      count,
      example,
    })),
    { name: 'Used', count: outputs, example: '' },
  ]
  return html`
    <section>
      <h2>Where every input went</h2>
      <div class="scroll" tabindex="0" role="region" aria-label="Where every input went">
        <table class="funnel">
          <thead>
            <tr>
              <th scope="col">Step</th>
              <th scope="col">Count</th>
              <th scope="col">Share</th>
            </tr>
          </thead>
          <tbody>
            ${rows.map(
              row => html`
                <tr>
                  <th scope="row">
                    ${row.name}${row.example !== '' && html`<br /><span class="soft">e.g. ${row.example}</span>`}
                  </th>
                  <td>${row.count}</td>
                  <td class="bar">
                    <i style="--share:${place(inputs === 0 ? 0 : row.count / inputs)}"></i>
                  </td>
                </tr>
              `,
            )}
          </tbody>
        </table>
      </div>
    </section>
  `
}

const pairs = (
  heading: string,
  values: Readonly<Record<string, string | number | boolean>>,
  style: string,
): Html | false =>
  Object.keys(values).length > 0 &&
  html`
    <section>
      <h2>${heading}</h2>
      <dl>
        ${Object.entries(values).map(
          ([name, value]) => html`
            <dt>${name}</dt>
            <dd class="${style}">${String(value)}</dd>
          `,
        )}
      </dl>
    </section>
  `
