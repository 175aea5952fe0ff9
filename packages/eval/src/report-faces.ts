import { html, type Html } from '@deepfever/core'
import { percent } from './report-parts.ts'
import type { LeakageRecord, Mistake, ShownFace } from './report.ts'

/** JPEG of faces by id. */
export type Pictures = ReadonlyMap<string, Uint8Array>

/** The wrong answers of most confidence, each with the nearest training faces. */
export const mistakeSection = (mistakes: readonly Mistake[], pictures: Pictures): Html => html`
  <section>
    <h2>Most confident mistakes</h2>
    <p class="soft">
      Each with the training faces whose features are nearest (cosine). Labels are annotators'
      opinions.
    </p>
    <ul class="mistakes">
      ${mistakes.map(
        mistake => html`
          <li>
            ${figure(mistake, pictures)}
            <p>
              <b>${mistake.label}</b>, taken for <b>${mistake.predicted}</b> at
              ${percent(mistake.confidence)}<br /><span class="soft">${mistake.id}</span>
            </p>
            <div class="near">
              ${mistake.neighbours.map(
                near => html`
                  <figure>
                    ${figure(near, pictures)}
                    <figcaption>${near.label}<br />${near.cosine.toFixed(2)}</figcaption>
                  </figure>
                `,
              )}
            </div>
          </li>
        `,
      )}
    </ul>
  </section>
`

function figure({ id, label }: ShownFace, pictures: Pictures): Html {
  const jpeg = pictures.get(id)
  if (jpeg === undefined) return html`<span class="no-picture">no picture</span>`
  const data = Buffer.from(jpeg).toString('base64')
  return html`<img
    src="data:image/jpeg;base64,${data}"
    width="96"
    height="96"
    alt="${label}: ${id}"
  />`
}

/** Which test faces were left out because training has their picture. */
export const leakageSection = ({ tested, leaked, triplets, examples }: LeakageRecord): Html => html`
  <section>
    <h2>Leakage</h2>
    <p>
      ${leaked} of ${tested} test faces have a near-duplicate in training (found by
      ${triplets === undefined ? 'perceptual hash, thumbnail and features' : 'perceptual hash and thumbnail'},
      then compared as pictures)${triplets !== undefined && `; ${triplets} triplets name one`}. The
      headline leaves them out.
    </p>
    ${
      examples.length > 0 &&
      html`
        <div class="scroll" tabindex="0" role="region" aria-label="Leaked faces">
          <table class="words">
            <thead>
              <tr>
                <th scope="col">Test face</th>
                <th scope="col">Training face</th>
                <th scope="col">Bits</th>
                <th scope="col">Likeness</th>
              </tr>
            </thead>
            <tbody>
              ${examples.map(
                pair => html`
                  <tr>
                    <td>${pair.test}</td>
                    <td>${pair.train}</td>
                    <td>${pair.bits}</td>
                    <td>${pair.likeness.toFixed(3)}</td>
                  </tr>
                `,
              )}
            </tbody>
          </table>
        </div>
      `
    }
  </section>
`
