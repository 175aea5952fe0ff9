import type { Random } from '@deepfever/core'

/** The eight expressions, in AffectNet's order: the index is AffectNet's label. */
export const expressionNames = [
  'neutral',
  'happy',
  'sad',
  'surprise',
  'fear',
  'disgust',
  'anger',
  'contempt',
] as const

/**
 * What the muscles of a drawn face do; 0 is rest. `browInner` above 0 lifts the inner ends (worry),
 * below 0 lowers them (frown); `skew` pulls one corner of the mouth up.
 */
export interface Expression {
  readonly mouthCurve: number
  readonly mouthOpen: number
  readonly mouthWidth: number
  readonly browHeight: number
  readonly browInner: number
  readonly eyeOpen: number
  readonly noseWrinkle: number
  readonly lipRaise: number
  readonly skew: number
  readonly teeth: number
}

const muscles = [
  'mouthCurve',
  'mouthOpen',
  'mouthWidth',
  'browHeight',
  'browInner',
  'eyeOpen',
  'noseWrinkle',
  'lipRaise',
  'skew',
  'teeth',
] as const

/** Full-strength expressions, rows as `expressionNames`, columns as `muscles`. */
const prototypes: readonly (readonly number[])[] = [
  [0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
  [0.95, 0.35, 0.5, 0.15, 0.05, -0.3, 0.1, 0, 0, 0.8],
  [-0.85, 0.05, -0.2, 0.1, 0.85, -0.4, 0, 0, 0, 0],
  [0, 1, -0.5, 0.9, 0.1, 0.6, 0, 0, 0, 0],
  [-0.4, 0.5, 0.35, 0.65, 0.75, 0.55, 0, 0.1, 0, 0.6],
  [-0.55, 0.2, 0, -0.45, -0.4, -0.55, 1, 0.9, 0.1, 0.4],
  [-0.35, 0.3, 0.15, -0.7, -0.95, 0.05, 0.45, 0.1, 0, 0.7],
  [0.1, 0, 0, 0, -0.1, -0.3, 0.1, 0, 1, 0],
]

const toExpression = (values: readonly number[]): Expression =>
  Object.fromEntries(muscles.map((name, i) => [name, values[i]!])) as unknown as Expression

/**
 * An expression of class `label`: its prototype at a random strength, a little of another class
 * and a twitch of every muscle, so that weak ones overlap with their neighbours.
 */
export function drawExpression(label: number, random: Random): Expression {
  const strength = label === 0 ? 0 : 0.75 + 0.4 * random.next()
  const other = prototypes[random.below(prototypes.length)]!
  const share = 0.12 * random.next()
  return toExpression(
    prototypes[label]!.map(
      (value, i) => strength * value + share * other[i]! + 0.06 * random.normal(),
    ),
  )
}

/** How far two expressions are apart, as a viewer sees it: Euclidean over the muscles. */
export const expressionDistance = (a: Expression, b: Expression): number =>
  Math.hypot(...muscles.map(name => a[name] - b[name]))
