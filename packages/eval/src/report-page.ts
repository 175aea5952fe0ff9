import { html, trustedHtml, type Html } from '@deepfever/core'
import type { Estimate } from './estimate.ts'
import { codesSection } from './report-codes.ts'
import { leakageSection, mistakeSection, type Pictures } from './report-faces.ts'
import { percent, place } from './report-parts.ts'
import { probeSections } from './report-probe.ts'
import { reportStyle } from './report-style.ts'
import type { Measure, Report } from './report.ts'
import type { TripletScore } from './triplet-accuracy.ts'

export type { Pictures } from './report-faces.ts'

/**
 * The whole page: one file, no script, no request; every value is escaped.
 *
 * @param pictures JPEG of the faces that the report names, by id
 */
export function renderReport(report: Report, pictures: Pictures = new Map()): string {
  const { title, banner, headline, beside, probe, triplets, leakage, mistakes } = report
  const page = html`<!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <meta
          http-equiv="Content-Security-Policy"
          content="default-src 'none'; style-src 'unsafe-inline'; img-src data:"
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
            ${headline.whole && html`<p>${wholeText(headline)}</p>`}
            <p class="soft">${headline.note}</p>
            <p class="soft">Extractor: ${report.extractor}</p>
          </section>
          ${beside.length > 0 && measureList([{ ...headline, note: '' }, ...beside])}
          ${probe && probeSections(probe)} ${triplets && tripletTable(triplets)}
          ${report.codes && codesSection(report.codes)}
          ${mistakes.length > 0 && mistakeSection(mistakes, pictures)}
          ${leakage && leakageSection(leakage)} ${ledgerFunnel(report)}
          ${pairs('Configuration', report.configuration, '')}
          ${pairs('Inputs by sha256', report.digests, 'digest')}
        </main>
      </body>
    </html> `
  return page.toString()
}

function intervalText({ interval, n }: Pick<Measure, 'interval' | 'n'>): string {
  if (interval === null) return n === null ? '' : `n = ${n}`
  const { low, high, level, resamples } = interval
  const range = `${(100 * low).toFixed(1)} to ${(100 * high).toFixed(1)} %`
  return `${100 * level} % interval ${range} (bootstrap, ${resamples} resamples), n = ${n}`
}

/** The whole split, where it has more entries than were judged; else that it has not. */
function wholeText({ n, whole }: { readonly n: number | null; readonly whole?: Estimate }): string {
  if (whole === undefined) return ''
  if (whole.n === n) return 'whole split: the same, no entry without a face'
  return `whole split, without a face is wrong: ${percent(whole.value)}, ${intervalText(whole)}`
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
              >${[intervalText(measure), wholeText(measure), measure.note].filter(Boolean).join('; ')}</span
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
            <th scope="col">Leaked</th>
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
                <td>${one.leaked}</td>
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
