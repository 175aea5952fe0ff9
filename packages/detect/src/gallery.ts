import { commonOptions, defineStage, html, optionalPath, path, trustedHtml } from '@deepfever/core'
import {
  faces,
  inputOf,
  openArtifact,
  tallies,
  writeArtifact,
  type Artifact,
  type Ledger,
} from '@deepfever/formats'

/** Faces of one section, kept or turned away for one reason; more would make the page slow. */
const SAMPLES = 200
/** Bytes of all pictures of a page, as they stand in it. */
const PICTURE_BYTES = 19e6

interface Sample {
  readonly id: string
  readonly source: string
  readonly note: string
  readonly crop: Uint8Array
}

/** At most `most` rows spread evenly over `total`. */
async function spread(rows: AsyncIterable<Sample>, total: number, most: number): Promise<Sample[]> {
  const step = Math.max(1, total / most)
  const picked: Sample[] = []
  let index = 0
  for await (const row of rows)
    if (index++ >= picked.length * step && picked.length < most)
      picked.push({ ...row, crop: row.crop.slice() })
  return picked
}

async function* keptFaces(artifact: Artifact): AsyncGenerator<Sample> {
  if (!artifact.manifest.tables.faces) return
  for await (const { frameId, source, probability, crop } of artifact.rows(faces))
    yield { id: frameId, source, note: `${(100 * probability).toFixed(1)} %`, crop }
}

/** The first face that each clip lost for each reason; the first `SAMPLES` of a reason. */
async function readTurnedAway(artifact: Artifact): Promise<Map<string, Sample[]>> {
  const byCode = new Map<string, Sample[]>()
  if (!artifact.manifest.tables.tallies) return byCode
  for await (const { code, example, clipName, count, crop } of artifact.rows(tallies)) {
    const samples = byCode.get(code) ?? []
    if (crop.length === 0 || samples.length >= SAMPLES) continue
    const note = count > 1 ? `and ${count - 1} more of this clip` : ''
    byCode.set(code, [...samples, { id: example, source: clipName, note, crop: crop.slice() }])
  }
  return byCode
}

/** The first samples whose pictures fit into `bytes` as base64. */
function within(samples: readonly Sample[], bytes: number): Sample[] {
  let sum = 0
  return samples.filter(({ crop }) => (sum += Math.ceil(crop.length / 3) * 4) <= bytes)
}

function groupBySource(picked: readonly Sample[]): Map<string, Sample[]> {
  const groups = new Map<string, Sample[]>()
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
th, td.n { overflow-wrap: normal } td.n { text-align: right; font-variant-numeric: tabular-nums }
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
  const timeUs = Number.parseInt(frameId.split('@')[1] ?? '')
  return Number.isFinite(timeUs) ? `${(timeUs / 1e6).toFixed(2)} s` : frameId
}

const sheet = (samples: readonly Sample[]) => html`
  <ul class="sheet">
    ${samples.map(
      ({ id, note, crop }) =>
        html`<li>
          <figure>
            <img
              alt="face at ${stamp(id)}"
              loading="lazy"
              src="data:image/jpeg;base64,${Buffer.from(crop).toString('base64')}"
            />
            <figcaption>${stamp(id)}${note && ` · ${note}`}</figcaption>
          </figure>
        </li>`,
    )}
  </ul>
`

/** A contact sheet of a faces artifact: one self-contained page, grouped by source. */
export const gallery = defineStage({
  name: 'detect gallery',
  summary: 'a page with the faces that were found, by clip, and what was turned away',
  behaviour: 3,
  options: {
    ...commonOptions,
    faces: path('faces artifact'),
    frames: optionalPath('frames artifact, to show which clips were turned away'),
    out: optionalPath('where the page goes; default: beside the faces, with -gallery behind'),
  },
  async run(options, { log, work }) {
    const out = options.out || `${options.faces.replace(/\/+$/, '')}-gallery`
    const artifact = await openArtifact(options.faces, 'faces')
    const total = artifact.manifest.tables.faces?.rows ?? 0
    const clips = options.frames ? await openArtifact(options.frames, 'frames') : undefined
    const inputs = [artifact, ...(clips ? [clips] : [])].map(input =>
      inputOf(input.manifest.kind, input),
    )
    const spec = { ...work, kind: 'gallery', inputs, out, force: options.force }
    await writeArtifact(spec, log, async write => {
      const lost = [...(await readTurnedAway(artifact))]
      const share = PICTURE_BYTES / (lost.length + 1)
      const picked = within(await spread(keptFaces(artifact), total, SAMPLES), share)
      const turnedAway = lost.map(([code, samples]) => [code, within(samples, share)] as const)
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
          ${ledgerTable('Faces', 'clips, frames and faces', artifact.manifest.ledger)}
          ${[...groupBySource(picked)].map(
            ([source, group]) => html`
              <h2>${source}</h2>
              ${sheet(group)}
            `,
          )}
          ${turnedAway.map(
            ([code, samples]) => html`
              <h2>Turned away: ${code}</h2>
              <p class="soft">
                ${artifact.manifest.ledger.rejects[code]?.count ?? 0} in all, here one a clip.
              </p>
              ${sheet(samples)}
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
