import type { Expression } from './expression.ts'
import type { Identity } from './identity.ts'

/** `paint` fills without outlines; `ink` draws outlines and flatter features, another domain. */
export type DrawingStyle = 'paint' | 'ink'

/** Where the head looks: yaw and pitch in [-1, 1] move the features over the face. */
export interface HeadPose {
  readonly yaw: number
  readonly pitch: number
}

type Colour = readonly [number, number, number]

const rgb = ([r, g, b]: Colour, level = 1): string => {
  const byte = (value: number) => Math.max(0, Math.min(255, Math.round(value * level)))
  return `rgb(${byte(r)},${byte(g)},${byte(b)})`
}
const n = (value: number): string => value.toFixed(2)

/**
 * A face as an SVG group around the origin: about 100 wide and 130 high, hair included.
 */
export function drawFace(
  who: Identity,
  expression: Expression,
  { yaw, pitch }: HeadPose,
  style: DrawingStyle,
): string {
  const ink = style === 'ink'
  const outline = ink ? `stroke="${rgb(who.skin, 0.35)}" stroke-width="1.6"` : ''
  const half = 46 * who.width
  const [x, y] = [yaw * 9, pitch * 6]
  return [
    drawHairBehind(who, half),
    `<path d="M${n(-half)},-12 C${n(-half)},-72 ${n(half)},-72 ${n(half)},-12 C${n(half)},22 ${n(24 * who.jaw)},62 0,62 C${n(-24 * who.jaw)},62 ${n(-half)},22 ${n(-half)},-12Z" fill="${rgb(who.skin)}" ${outline}/>`,
    who.beard
      ? `<path d="M${n(-half * 0.93)},8 C${n(-half * 0.85)},30 ${n(-24 * who.jaw)},64 0,64 C${n(24 * who.jaw)},64 ${n(half * 0.85)},30 ${n(half * 0.93)},8 C${n(half * 0.5)},22 ${n(-half * 0.5)},22 ${n(-half * 0.93)},8Z" fill="${rgb(who.hair)}"/>`
      : '',
    who.freckles ? drawFreckles(who, x, y) : '',
    `<g transform="translate(${n(x)},${n(y)}) scale(1.12)">`,
    drawEyes(who, expression, yaw, ink),
    drawNose(who, expression, yaw, ink),
    drawMouth(who, expression, ink),
    who.glasses ? drawGlasses(who) : '',
    '</g>',
    drawHairBefore(who, half),
  ].join('')
}

const drawFreckles = (who: Identity, x: number, y: number): string =>
  [-26, -20, -15, 15, 20, 26]
    .map(
      (at, i) =>
        `<circle cx="${n(at + x)}" cy="${n(10 + y + (i % 2) * 4)}" r="1.2" fill="${rgb(who.skin, 0.7)}"/>`,
    )
    .join('')

function drawEyes(who: Identity, expression: Expression, yaw: number, ink: boolean): string {
  const open = Math.max(0.12, 1 + expression.eyeOpen)
  return [-1, 1]
    .map(side => {
      const near = 1 - 0.22 * Math.max(0, side * yaw)
      const width = 11 * who.eyeSize * near
      const height = 6.2 * who.eyeSize * open
      const cx = side * 20 * who.eyeSpacing
      const squint = Math.max(0, expression.mouthCurve) * 2.5 + expression.noseWrinkle * 2
      const lid = `M${n(-width)},1 Q0,${n(-height * 1.5)} ${n(width)},1 Q0,${n(Math.max(1, height * 1.1 - squint))} ${n(-width)},1Z`
      const radius = 4.6 * who.eyeSize
      // An eye that is nearly shut shows a slit: the iris never reaches over the lids.
      const iris = Math.min(radius, height * 0.95)
      const lift = -10 - 8.5 * expression.browHeight - (side > 0 ? 3 : 0) * expression.skew
      const inner = -7.5 * expression.browInner
      const brow = `M${n(-side * width * 1.05)},${n(lift + inner + 0.5)} Q${n(side * 2)},${n(lift - 3.5 + inner * 0.2)} ${n(side * width * 1.25)},${n(lift + 2.2 - inner * 0.35)}`
      return [
        `<g transform="translate(${n(cx)},-10)">`,
        `<path d="${lid}" fill="${ink ? '#fff' : '#f6f2ec'}" stroke="${rgb(who.skin, 0.4)}" stroke-width="${ink ? 2 : 1.2}"/>`,
        `<ellipse cx="${n(yaw * 3)}" cy="${n(-height * 0.1)}" rx="${n(Math.min(radius, iris + 1))}" ry="${n(iris)}" fill="${ink ? '#222' : who.iris}"/>`,
        ink
          ? ''
          : `<circle cx="${n(yaw * 3)}" cy="${n(-height * 0.1)}" r="${n(iris * 0.45)}" fill="#111"/>`,
        `<path d="${brow}" fill="none" stroke="${rgb(who.hair, who.hairStyle === 'bald' ? 0.6 : 0.8)}" stroke-width="${n(3.4 * who.browThickness)}" stroke-linecap="round"/>`,
        '</g>',
      ].join('')
    })
    .join('')
}

function drawNose(who: Identity, { noseWrinkle }: Expression, yaw: number, ink: boolean): string {
  const tip = 14 * who.noseLength - 3 * noseWrinkle
  const shade = rgb(who.skin, ink ? 0.4 : 0.72)
  const line = `fill="none" stroke="${shade}" stroke-linecap="round"`
  const folds =
    noseWrinkle > 0.25
      ? [-1, 1]
          .map(
            side =>
              `<path d="M${n(side * 3)},-8 q${n(side * 4)},2 ${n(side * 5)},6 M${n(side * 9)},${n(tip - 3)} q${n(side * 6)},4 ${n(side * 9)},12" ${line} stroke-width="${n(1.8 * Math.min(1.2, noseWrinkle))}"/>`,
          )
          .join('')
      : ''
  const bridge = `<path d="M${n(2 + yaw * 4)},-6 Q${n(5 + yaw * 6)},${n(tip * 0.5)} ${n(6 + yaw * 3)},${n(tip - 2)} Q0,${n(tip + 4)} -6,${n(tip - 2)}" ${line} stroke-width="2.2"/>`
  return bridge + folds
}

function drawMouth(who: Identity, expression: Expression, ink: boolean): string {
  const { mouthCurve, mouthOpen, mouthWidth, skew, lipRaise, teeth } = expression
  const half = Math.max(7, 19 * who.mouthSize * (1 + 0.45 * mouthWidth))
  const gap = Math.max(0, mouthOpen) * 17
  const corner = -6.5 * mouthCurve
  const [left, right] = [corner + 2 * skew, corner - 9 * skew]
  const upper = 4.5 * mouthCurve - gap * 0.35 - 6 * lipRaise
  const lower = 6.5 * mouthCurve + gap + 1.2
  const top = `M${n(-half)},${n(left)} C${n(-half * 0.4)},${n(upper)} ${n(half * 0.4)},${n(upper)} ${n(half)},${n(right)}`
  const shape = `${top} C${n(half * 0.45)},${n(lower)} ${n(-half * 0.45)},${n(lower)} ${n(-half)},${n(left)}Z`
  const lip = ink
    ? rgb(who.skin, 0.3)
    : rgb([who.skin[0] * 0.78, who.skin[1] * 0.5, who.skin[2] * 0.52])
  const open = gap > 2 || lipRaise > 0.5
  const cheek = Math.max(0, mouthCurve, skew)
  return [
    '<g transform="translate(0,33)">',
    who.moustache ? `<path d="M-15,-7 Q0,-14 15,-7 Q0,-4 -15,-7Z" fill="${rgb(who.hair)}"/>` : '',
    `<path d="${shape}" fill="${open ? '#4a1518' : lip}" stroke="${lip}" stroke-width="${n(3 * who.lips)}" stroke-linejoin="round"/>`,
    open && teeth > 0.3
      ? `<path d="M${n(-half * 0.7)},${n((left + upper) / 2 + 1)} Q0,${n(upper + 2)} ${n(half * 0.7)},${n((right + upper) / 2 + 1)} L${n(half * 0.55)},${n((right + upper) / 2 + 4.5)} Q0,${n(upper + 6)} ${n(-half * 0.55)},${n((left + upper) / 2 + 4.5)}Z" fill="#f4f0e6"/>`
      : '',
    cheek > 0.35
      ? `<path d="M${n(half + 5)},${n(right - 6)} q4,6 1,11 ${skew > 0.4 ? '' : `M${n(-half - 5)},${n(left - 6)} q-4,6 -1,11`}" fill="none" stroke="${rgb(who.skin, 0.68)}" stroke-width="1.6" stroke-linecap="round"/>`
      : '',
    '</g>',
  ].join('')
}

const drawGlasses = (who: Identity): string =>
  `<g fill="none" stroke="#222" stroke-width="2">${[-1, 1]
    .map(side => `<circle cx="${n(side * 20 * who.eyeSpacing)}" cy="-9" r="15"/>`)
    .join('')}<path d="M-5,-10 Q0,-13 5,-10"/></g>`

function drawHairBehind(who: Identity, half: number): string {
  const fill = rgb(who.hair)
  if (who.hairStyle === 'long') {
    return `<path d="M${n(-half - 9)},70 C${n(-half - 14)},-10 ${n(-half)},-76 0,-76 C${n(half)},-76 ${n(half + 14)},-10 ${n(half + 9)},70Z" fill="${fill}"/>`
  }
  if (who.hairStyle !== 'curly') return ''
  return Array.from({ length: 9 }, (_, i) => {
    const angle = Math.PI * (1 + i / 8)
    return `<circle cx="${n(Math.cos(angle) * half)}" cy="${n(-18 + Math.sin(angle) * 42)}" r="17" fill="${fill}"/>`
  }).join('')
}

function drawHairBefore(who: Identity, half: number): string {
  const fill = rgb(who.hair)
  const crown = (low: number) =>
    `<path d="M${n(-half - 2)},-14 C${n(-half - 3)},-80 ${n(half + 3)},-80 ${n(half + 2)},-14 C${n(half * 0.8)},${n(low)} ${n(-half * 0.7)},${n(low - 8)} ${n(-half - 2)},-14Z" fill="${fill}"/>`
  switch (who.hairStyle) {
    case 'short':
    case 'long':
      return crown(-50)
    case 'fringe':
      return crown(-32)
    case 'hat':
      return `<path d="M${n(-half - 3)},-30 C${n(-half)},-86 ${n(half)},-86 ${n(half + 3)},-30Z" fill="${fill}"/><rect x="${n(-half - 14)}" y="-36" width="${n(2 * half + 28)}" height="7" rx="3" fill="${rgb(who.hair, 0.7)}"/>`
    case 'bald':
    case 'curly':
      return ''
  }
}
