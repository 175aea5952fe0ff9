import type { Random } from '@deepfever/core'
import { encodeJpeg, renderSvg } from '@deepfever/media'
import { drawExpression } from './expression.ts'
import type { Expression } from './expression.ts'
import { drawFace } from './face-drawing.ts'
import type { DrawingStyle } from './face-drawing.ts'
import { drawIdentity } from './identity.ts'

/** One face in a scene: what it shows and where, in pixels. */
export interface PlacedFace {
  readonly expression: Expression
  readonly x: number
  readonly y: number
  /** pixels from ear to ear, about */
  readonly size: number
}

/** A drawn photograph. */
export interface Scene {
  readonly width: number
  readonly height: number
  readonly faces: readonly PlacedFace[]
  readonly style: DrawingStyle
}

const NOISE_LENGTH = 2 ** 16

/** Standard normal noise as bytes of 1/16, drawn once and read from random places. */
export const drawNoise = (random: Random): Int8Array =>
  Int8Array.from({ length: NOISE_LENGTH }, () =>
    Math.max(-127, Math.min(127, Math.round(16 * random.normal()))),
  )

/** Places one face of class `label` in the middle of a picture that it fills, shifted a little. */
export const placeFace = (
  label: number,
  { width, height }: { readonly width: number; readonly height: number },
  random: Random,
): PlacedFace => ({
  expression: drawExpression(label, random),
  x: width * (0.5 + 0.02 * random.normal()),
  y: height * (0.52 + 0.015 * random.normal()),
  size: Math.min(width, height) * (0.86 + 0.08 * random.next()),
})

/**
 * Draws a scene as a photograph of it: backdrop, heads, light, blur, noise, JPEG. Every choice
 * comes from `random`, so the bytes are a function of the stream and of librsvg's version.
 */
export async function photograph(
  { width, height, faces, style }: Scene,
  noise: Int8Array,
  random: Random,
): Promise<Uint8Array> {
  const svg = [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}">`,
    drawBackdrop(width, height, random),
    ...faces.map(face => drawHead(face, style, random)),
    drawLight(width, height, random),
    '</svg>',
  ].join('')
  const blurPx = random.next() < 0.2 ? 0.4 + (0.8 * random.next() * width) / 224 : 0
  const picture = await renderSvg(svg, blurPx)
  develop(picture.data, noise, random)
  return encodeJpeg(picture, 60 + random.below(36))
}

function drawHead(face: PlacedFace, style: DrawingStyle, random: Random): string {
  const who = drawIdentity(random)
  const turn = 4 * random.normal()
  const pose = { yaw: clamp(0.2 * random.normal()), pitch: clamp(0.15 * random.normal()) }
  const scale = face.size / 100
  const stretch = 1 + 0.06 * random.normal()
  const place = `translate(${face.x.toFixed(2)},${face.y.toFixed(2)}) rotate(${turn.toFixed(2)}) scale(${scale.toFixed(4)},${(scale * stretch).toFixed(4)})`
  const shirt = hsl(random.below(360), 45, 25 + random.below(50))
  return [
    `<g transform="${place}">`,
    `<path d="M-80,150 C-75,85 -30,72 0,72 C30,72 75,85 80,150Z" fill="${shirt}"/>`,
    `<rect x="-17" y="40" width="34" height="42" fill="rgb(${who.skin.map(c => Math.round(Math.min(255, c) * 0.82)).join(',')})"/>`,
    drawFace(who, face.expression, pose, style),
    '</g>',
  ].join('')
}

const clamp = (value: number): number => Math.max(-1, Math.min(1, value))
const hsl = (hue: number, saturation: number, light: number): string =>
  `hsl(${hue},${saturation}%,${light}%)`

function drawBackdrop(width: number, height: number, random: Random): string {
  const hue = random.below(360)
  const light = 20 + random.below(65)
  const ground = `<linearGradient id="g" x1="0" y1="0" x2="${random.next().toFixed(2)}" y2="1"><stop offset="0" stop-color="${hsl(hue, 35, light)}"/><stop offset="1" stop-color="${hsl((hue + random.below(90)) % 360, 35, Math.max(8, light - 25))}"/></linearGradient>`
  const shapes = Array.from({ length: random.below(5) }, () => {
    const [x, y] = [random.next() * width, random.next() * height]
    const [w, h] = [(0.1 + 0.4 * random.next()) * width, (0.1 + 0.5 * random.next()) * height]
    const fill = `fill="${hsl(random.below(360), 30, 15 + random.below(70))}" fill-opacity="${(0.3 + 0.6 * random.next()).toFixed(2)}"`
    return random.next() < 0.5
      ? `<rect x="${x.toFixed(1)}" y="${y.toFixed(1)}" width="${w.toFixed(1)}" height="${h.toFixed(1)}" ${fill}/>`
      : `<ellipse cx="${x.toFixed(1)}" cy="${y.toFixed(1)}" rx="${(w / 2).toFixed(1)}" ry="${(h / 2).toFixed(1)}" ${fill}/>`
  })
  return `<defs>${ground}</defs><rect width="${width}" height="${height}" fill="url(#g)"/>${shapes.join('')}`
}

/** A shadow from one side. */
function drawLight(width: number, height: number, random: Random): string {
  const angle = 2 * Math.PI * random.next()
  const [dx, dy] = [Math.cos(angle) / 2, Math.sin(angle) / 2]
  const dark = (0.4 * random.next()).toFixed(2)
  const ends = `x1="${(0.5 - dx).toFixed(3)}" y1="${(0.5 - dy).toFixed(3)}" x2="${(0.5 + dx).toFixed(3)}" y2="${(0.5 + dy).toFixed(3)}"`
  return `<defs><linearGradient id="l" ${ends}><stop offset="0" stop-color="#000" stop-opacity="${dark}"/><stop offset="0.7" stop-color="#000" stop-opacity="0"/></linearGradient></defs><rect width="${width}" height="${height}" fill="url(#l)"/>`
}

/** Exposure, contrast, colour cast and grain, in place on RGB bytes. */
function develop(data: Uint8Array, noise: Int8Array, random: Random): void {
  const contrast = 0.75 + 0.4 * random.next()
  const exposure = 128 + 16 * random.normal()
  const cast = [0, 1, 2].map(() => 1 + 0.05 * random.normal())
  const grain = random.next() ** 2 * 0.4
  const start = random.below(NOISE_LENGTH)
  const grey = random.next() < 0.12
  const curves = cast.map(tint =>
    Float32Array.from({ length: 256 }, (_, v) => (contrast * (v - 128) + exposure) * tint),
  )
  for (let i = 0; i < data.length; i += 3) {
    let [r, g, b] = [curves[0]![data[i]!]!, curves[1]![data[i + 1]!]!, curves[2]![data[i + 2]!]!]
    if (grey) r = g = b = 0.3 * r + 0.59 * g + 0.11 * b
    const at = start + i
    data[i] = clip(r + grain * noise[at % NOISE_LENGTH]!)
    data[i + 1] = clip(g + grain * noise[(at + 1) % NOISE_LENGTH]!)
    data[i + 2] = clip(b + grain * noise[(at + 2) % NOISE_LENGTH]!)
  }
}

const clip = (value: number): number => (value < 0 ? 0 : value > 255 ? 255 : value)
