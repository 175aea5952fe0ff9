const FNV_OFFSET = 0x811c9dc5
const FNV_PRIME = 0x01000193
const GOLDEN_RATIO = 0x9e3779b9

/** FNV-1a over the UTF-8 bytes of `name`: the 32-bit seed of its number stream. */
export function seedOf(name: string): number {
  let hash = FNV_OFFSET
  for (const byte of new TextEncoder().encode(name)) hash = Math.imul(hash ^ byte, FNV_PRIME)
  return hash >>> 0
}

/** The `index`-th 32-bit word of the stream `seed`: a counter-based generator, any word in O(1). */
export function wordAt(seed: number, index: number): number {
  let z = (seed + Math.imul(index, GOLDEN_RATIO)) | 0
  z = Math.imul(z ^ (z >>> 16), 0x21f0aaad)
  z = Math.imul(z ^ (z >>> 15), 0x735a2d97)
  return (z ^ (z >>> 15)) >>> 0
}

/** The first `count` numbers of the stream `name`, uniform in [-1, 1). */
export function uniforms(name: string, count: number): Float64Array {
  const seed = seedOf(name)
  return Float64Array.from({ length: count }, (_, i) => wordAt(seed, i) / 2 ** 31 - 1)
}

/** What can be put into another order. */
interface Shuffled {
  readonly length: number
  [index: number]: unknown
}

/** A stream of numbers that is a function of its name alone. */
export interface Random {
  /** uniform in [0, 1) */
  next(): number
  /** uniform integer in [0, bound) */
  below(bound: number): number
  /** standard normal (Box-Muller) */
  normal(): number
  /** Fisher-Yates, in place; an array or a typed one */
  shuffle<L extends Shuffled>(items: L): L
}

/** Opens the stream `name`, for example `` `${seed}/order/${epoch}` ``. */
export function openRandom(name: string): Random {
  const seed = seedOf(name)
  let index = 0
  const next = () => wordAt(seed, index++) / 2 ** 32
  const below = (bound: number) => Math.floor(next() * bound)
  return {
    next,
    below,
    normal: () => Math.sqrt(-2 * Math.log(1 - next())) * Math.cos(2 * Math.PI * next()),
    shuffle(items) {
      const list: Shuffled = items
      for (let i = list.length - 1; i > 0; i--) {
        const j = below(i + 1)
        const held = list[i]
        list[i] = list[j]
        list[j] = held
      }
      return items
    },
  }
}
