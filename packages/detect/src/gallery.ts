import { commonOptions, defineStage, html, optionalPath, path, trustedHtml } from '@deepfever/core'
import { faces, openArtifact, writeArtifact, type Face, type Ledger } from '@deepfever/formats'

/** Faces on the page; more would make it slow to open. */
const SAMPLES = 200

/** `count` rows spread evenly over the artifact. */
async function sample(path: string, count: number) {
  const artifact = await openArtifact(path, 'faces')
  const total = artifact.manifest.tables.faces?.rows ?? 0
  const step = Math.max(1, total / count)
  const picked: Face[] = []
  let index = 0
  for await (const face of artifact.rows(faces))
    if (index++ >= picked.length * step && picked.length < count)
      picked.push({ ...face, crop: face.crop.slice() })
  return { artifact, total, picked }
}

function groupBySource(picked: readonly Face[]): Map<string, Face[]> {
  const groups = new Map<string, Face[]>()
  for (const face of picked) groups.set(face.source, [...(groups.get(face.source) ?? []), face])
  return groups
}

const STYLE = `
:root { color-scheme: light dark; --line: #8884; --soft: #8888; font: 15px/1.5 system-ui, sans-serif }
body { margin: 0 auto; max-width: 75rem; padding: 1rem }
h1 { margin: 0 0 .25rem; font-size: 1.4rem } h2 { margin: 2rem 0 .5rem; font-size: 1.1rem; overflow-wrap: anywhere }
p { margin: .25rem 0 } .soft { opacity: .75 }
.sheet { display: grid; grid-template-columns: repeat(auto-fill, minmax(7.5rem, 1fr)); gap: .5rem; padding: 0; list-style: none }
figure { margin: 0 } img { display: block; width: 100%; aspect-ratio: 1; border-radius: .4rem }
figcaption { font-size: .75rem; overflow-wrap: anywhere; opacity: .75 }
table { border-collapse: collapse } th, td { padding: .2rem .8rem .2rem 0; text-align: left; border-bottom: 1px solid var(--line); overflow-wrap: anywhere }
td.n { text-align: right; font-variant-numeric: tabular-nums }
`

const ledgerTable = (title: string, unit: string, { inputs, outputs, rejects }: Ledger) => html`
  <h2>${title}</h2>
  <table>
    <tr>
      <th scope="row">${unit} read</th>
      <td class="n">${inputs}</td>
      <td></td>
    </tr>
    <tr>
      <th scope="row">kept</th>
      <td class="n">${outputs}</td>
      <td></td>
    </tr>
    ${Object.entries(rejects).map(
      ([code, { count, example }]) => html`
        <tr>
          <th scope="row">${code}</th>
          <td class="n">${count}</td>
          <td>for example ${example}</td>
        </tr>
      `,
    )}
  </table>
`

const stamp = (frameId: string) => {
  const timeUs = Number(frameId.split('@')[1])
  return Number.isFinite(timeUs) ? `${(timeUs / 1e6).toFixed(2)} s` : frameId
}

/** A contact sheet of a faces artifact: one self-contained page, grouped by source. */
export const gallery = defineStage({
  name: 'detect gallery',
  summary: 'a page with the faces that were found, by clip, and what was turned away',
  behaviour: 1,
  options: {
    ...commonOptions,
    faces: path('faces artifact'),
    frames: optionalPath('frames artifact, to show which clips were turned away'),
    out: optionalPath('where the page goes; default: beside the faces, with -gallery behind'),
  },
  async run(options, { log, work }) {
    const out = options.out || `${options.faces.replace(/\/+$/, '')}-gallery`
    const { artifact, total, picked } = await sample(options.faces, SAMPLES)
    const clips = options.frames ? await openArtifact(options.frames, 'frames') : undefined
    const inputs = [artifact, ...(clips ? [clips] : [])].map(({ digest, manifest }) => ({
      role: manifest.kind,
      digest,
    }))
    const spec = { ...work, kind: 'gallery', inputs, out, force: options.force }
    await writeArtifact(spec, log, async write => {
      const groups = groupBySource(picked)
      const page = html`<!doctype html>
        <html lang="en">
          <meta charset="utf-8" />
          <meta name="viewport" content="width=device-width, initial-scale=1" />
          <meta
            http-equiv="Content-Security-Policy"
            content="default-src 'none'; img-src data:; style-src 'unsafe-inline'"
          />
          <title>Faces</title>
          <style>
            ${trustedHtml(STYLE)}
          </style>
          <h1>${total} faces</h1>
          <p class="soft">
            ${picked.length < total ? `${picked.length} of them, evenly spread. ` : ''}Made by
            ${artifact.manifest.stage}, artifact ${artifact.digest.slice(0, 12)}.
          </p>
          ${clips && ledgerTable('Clips', 'clips', clips.manifest.ledger)}
          ${ledgerTable('Frames', 'frames', artifact.manifest.ledger)}
          ${[...groups].map(
            ([source, group]) => html`
              <h2>${source}</h2>
              <ul class="sheet">
                ${group.map(
                  face =>
                    html`<li>
                      <figure>
                        <img
                          alt="face at ${stamp(face.frameId)}"
                          loading="lazy"
                          src="data:image/jpeg;base64,${Buffer.from(face.crop).toString('base64')}"
                        />
                        <figcaption>
                          ${stamp(face.frameId)} · ${(100 * face.probability).toFixed(1)} %
                        </figcaption>
                      </figure>
                    </li>`,
                )}
              </ul>
            `,
          )}
        </html>`
      await write.file('gallery.html', page.toString())
      write.accept(picked.length)
      await write.done('page', picked.length)
    })
    log.event('gallery', { page: `${out}/gallery.html` })
  },
})
