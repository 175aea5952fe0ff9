import type { Random } from '@deepfever/core'

/** Who a drawn face is: everything that stays while the expression changes. */
export interface Identity {
  readonly skin: readonly [number, number, number]
  readonly hair: readonly [number, number, number]
  readonly iris: string
  readonly hairStyle: 'short' | 'long' | 'fringe' | 'bald' | 'curly' | 'hat'
  /** 1 is the standard face */
  readonly width: number
  readonly jaw: number
  readonly eyeSpacing: number
  readonly eyeSize: number
  readonly browThickness: number
  readonly noseLength: number
  readonly mouthSize: number
  readonly lips: number
  readonly glasses: boolean
  readonly beard: boolean
  readonly moustache: boolean
  readonly freckles: boolean
}

const skins = [
  [255, 224, 196],
  [241, 194, 150],
  [224, 172, 120],
  [198, 134, 86],
  [141, 85, 50],
  [92, 58, 40],
] as const
const hairs = [
  [28, 22, 20],
  [74, 46, 28],
  [128, 82, 44],
  [212, 168, 92],
  [168, 60, 32],
  [176, 176, 180],
  [232, 228, 220],
] as const
const irises = ['#3b2a1a', '#5b3f22', '#3f6a8a', '#4a7a4a', '#666c70']
const hairStyles = ['short', 'long', 'fringe', 'bald', 'curly', 'hat'] as const

const around = (random: Random, spread: number) => 1 + spread * (2 * random.next() - 1)
const pick = <T>(random: Random, items: readonly T[]): T => items[random.below(items.length)]!
const shifted = (
  random: Random,
  colour: readonly [number, number, number],
): readonly [number, number, number] => {
  const level = around(random, 0.1)
  return [colour[0] * level, colour[1] * level, colour[2] * level * around(random, 0.06)]
}

/** A person from the stream `random`. */
export const drawIdentity = (random: Random): Identity => ({
  skin: shifted(random, pick(random, skins)),
  hair: shifted(random, pick(random, hairs)),
  iris: pick(random, irises),
  hairStyle: pick(random, hairStyles),
  width: around(random, 0.15),
  jaw: around(random, 0.25),
  eyeSpacing: around(random, 0.12),
  eyeSize: around(random, 0.22),
  browThickness: around(random, 0.4),
  noseLength: around(random, 0.3),
  mouthSize: around(random, 0.18),
  lips: around(random, 0.45),
  glasses: random.next() < 0.18,
  beard: random.next() < 0.15,
  moustache: random.next() < 0.12,
  freckles: random.next() < 0.12,
})
