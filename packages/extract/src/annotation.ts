import { html } from '@deepfever/core'
import { decodePicture, encodeJpeg, overlaySvg, readPicture } from '@deepfever/media'
import type { Extracted } from './extractor.ts'

/** The picture as JPEG, each face in a box, with its likeliest expression where there is one. */
export async function annotate(
  { file, faces }: Extracted,
  labels: readonly string[],
): Promise<Uint8Array> {
  const picture = await (typeof file === 'string' ? readPicture(file) : decodePicture(file))
  const { width, height } = picture
  const size = Math.max(11, Math.round(Math.max(width, height) / 50))
  const marks = faces.map(({ box, expression }) => {
    const [x1, y1, x2, y2] = box as unknown as [number, number, number, number]
    const best = expression ? expression.indexOf(Math.max(...expression)) : -1
    const name = best < 0 ? '' : `${labels[best]} ${Math.round(100 * expression![best]!)} %`
    const y = y1 > size * 1.5 ? y1 - size * 0.4 : Math.min(height - 2, y2 + size)
    const x = Math.max(1, Math.min(x1, width - name.length * size * 0.6))
    return html`<rect
        x="${x1}"
        y="${y1}"
        width="${x2 - x1}"
        height="${y2 - y1}"
        fill="none"
        stroke="#ffd400"
        stroke-width="${size / 8}"
      /><text
        x="${x}"
        y="${y}"
        stroke="#000"
        stroke-width="${size / 5}"
        paint-order="stroke"
        fill="#ffd400"
        >${name}</text
      >`
  })
  const svg = html`<svg
    xmlns="http://www.w3.org/2000/svg"
    width="${width}"
    height="${height}"
    font-family="sans-serif"
    font-size="${size}"
  >
    ${marks}
  </svg>`
  return encodeJpeg(await overlaySvg(picture, svg.toString()))
}
