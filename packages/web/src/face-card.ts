import { toCanvas } from './pixels.ts'
import type { ReadFace } from './face-reader.ts'

/** A new element with its own text. */
export function element<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  text = '',
  className = '',
): HTMLElementTagNameMap[K] {
  const made = document.createElement(tag)
  made.textContent = text
  if (className) made.className = className
  return made
}

/** `1 face`, `2 faces`. */
const countOf = (faces: number): string => `${faces} ${faces === 1 ? 'face' : 'faces'}`

/** `0.876` as `87.6 %`. */
export const percent = (share: number): string => `${(100 * share).toFixed(1)} %`

/**
 * A face with its probabilities as bars, most probable first. `data-face` holds the numbers as
 * JSON: box, probability, landmarks, expression, embedding.
 */
export function faceCard(name: string, face: ReadFace, labels: readonly string[]): HTMLElement {
  const card = element('article', '', 'face')
  const { crop: picture, ...numbers } = face
  const plain = Object.entries(numbers).map(([key, value]) => [
    key,
    typeof value === 'number' ? value : Array.from(value),
  ])
  card.dataset['face'] = JSON.stringify(Object.fromEntries(plain))
  const crop = toCanvas(picture)
  crop.setAttribute('role', 'img')
  crop.setAttribute('aria-label', `Crop of ${name}`)
  const bars = element('ul', '', 'bars')
  const order = [...labels.keys()].sort((a, b) => face.expression[b]! - face.expression[a]!)
  for (const i of order) {
    const share = face.expression[i]!
    const bar = element('i')
    bar.setAttribute('aria-hidden', 'true')
    bar.style.setProperty('--share', percent(share).replace(' ', ''))
    const row = element('li')
    row.append(element('span', labels[i]), bar, element('b', percent(share)))
    bars.append(row)
  }
  card.append(element('h3', name), crop, bars)
  return card
}

/** The picture with numbered boxes and landmarks over it. */
export function boxedPicture(
  source: CanvasImageSource,
  { width, height }: { width: number; height: number },
  faces: readonly ReadFace[],
  name: string,
): HTMLCanvasElement {
  const canvas = element('canvas')
  const scale = Math.min(1, 1280 / Math.max(width, height))
  canvas.width = Math.round(width * scale)
  canvas.height = Math.round(height * scale)
  canvas.setAttribute('role', 'img')
  canvas.setAttribute('aria-label', `${name}: ${countOf(faces.length)}, boxes drawn`)
  const context = canvas.getContext('2d')!
  context.drawImage(source, 0, 0, canvas.width, canvas.height)
  drawBoxes(context, faces, scale)
  return canvas
}

/** Numbered boxes and landmarks, coordinates times `scale`. */
export function drawBoxes(
  context: CanvasRenderingContext2D,
  faces: readonly ReadFace[],
  scale: number,
): void {
  const line = Math.max(2, context.canvas.width / 300)
  context.font = `bold ${8 * line}px system-ui, sans-serif`
  faces.forEach(({ box, landmarks }, i) => {
    const [x1, y1, x2, y2] = box.map(side => side * scale)
    // Dark below light: seen on any picture.
    for (const [colour, wide] of [
      ['#10131a', 2 * line],
      ['#ffd24a', line],
    ] as const) {
      context.strokeStyle = colour
      context.lineWidth = wide
      context.strokeRect(x1!, y1!, x2! - x1!, y2! - y1!)
    }
    context.fillStyle = '#10131a'
    const wide = context.measureText(String(i + 1)).width + 4 * line
    context.fillRect(x1!, y1!, wide, 10 * line)
    context.fillStyle = '#ffd24a'
    context.fillText(String(i + 1), x1! + 2 * line, y1! + 8 * line)
    for (let at = 0; at < 10; at += 2) {
      context.beginPath()
      context.arc(landmarks[at]! * scale, landmarks[at + 1]! * scale, line, 0, 2 * Math.PI)
      context.fill()
    }
  })
}
