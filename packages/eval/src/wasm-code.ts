/** WebAssembly code as bytes: the few instructions that the probe's kernel needs. */
export type Code = readonly number[]

/** Unsigned LEB128, the numbers of the binary format. */
function leb(value: number): Code {
  const bytes: number[] = []
  do {
    bytes.push((value & 0x7f) | (value > 0x7f ? 0x80 : 0))
    value >>>= 7
  } while (value > 0)
  return bytes
}

function signedLeb(value: number): Code {
  const bytes: number[] = []
  for (;;) {
    const byte = value & 0x7f
    value >>= 7
    const last = (value === 0 && (byte & 0x40) === 0) || (value === -1 && (byte & 0x40) !== 0)
    bytes.push(last ? byte : byte | 0x80)
    if (last) return bytes
  }
}

const simd = (opcode: number): Code => [0xfd, ...leb(opcode)]
const access = (opcode: number, alignment: number, offset: number): Code => [
  ...simd(opcode),
  alignment,
  ...leb(offset),
]

/** `local.get`. */
export const get = (local: number): Code => [0x20, ...leb(local)]

/** `local.set`. */
export const set = (local: number, value: Code): Code => [...value, 0x21, ...leb(local)]

/** `i32.const`. */
export const constant = (value: number): Code => [0x41, ...signedLeb(value)]

/** local += value (i32). */
export const advance = (local: number, value: number): Code =>
  set(local, [...get(local), ...constant(value), 0x6a])

/** Runs the body, then again while local < bound (i32, unsigned). */
export const repeatWhileBelow = (local: number, bound: Code, body: Code): Code => [
  ...[0x03, 0x40],
  ...body,
  ...[...get(local), ...bound, 0x49, 0x0d, 0x00],
  0x0b,
]

/** Two zeros. */
export const zeros: Code = [...simd(12), ...Array<number>(16).fill(0)]

/** Two neighbouring float32 as two float64. */
export const loadTwoFloat32 = (address: Code, offset: number): Code => [
  ...address,
  ...access(0x5d, 2, offset),
  ...simd(0x5f),
]

/** Two neighbouring float64. */
export const loadTwo = (address: Code, offset: number): Code => [
  ...address,
  ...access(0, 3, offset),
]

/** One float64, twice. */
export const loadTwice = (address: Code, offset: number): Code => [
  ...address,
  ...access(10, 3, offset),
]

/** Stores two float64. */
export const storeTwo = (address: Code, offset: number, value: Code): Code => [
  ...address,
  ...value,
  ...access(11, 3, offset),
]

/** a + b, two float64 each. */
export const add = (a: Code, b: Code): Code => [...a, ...b, ...simd(0xf0)]

/** a * b, two float64 each. */
export const multiply = (a: Code, b: Code): Code => [...a, ...b, ...simd(0xf2)]

/** (a0 + a1, b0 + b1). */
export const addAcross = (a: Code, b: Code): Code => {
  const lanes = (from: number) =>
    [0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23].map(lane => lane + from)
  return add([...a, ...b, ...simd(13), ...lanes(0)], [...a, ...b, ...simd(13), ...lanes(8)])
}

/** A function of i32 parameters without a result. */
export interface WasmFunction {
  readonly name: string
  readonly parameters: number
  /** further i32 locals, after the parameters */
  readonly integers: number
  /** two-lane locals, after the integers */
  readonly vectors: number
  readonly body: Code
}

/** A module with the functions and one exported memory of `pages` times 64 KiB. */
export function encodeModule(
  pages: number,
  functions: readonly WasmFunction[],
): Uint8Array<ArrayBuffer> {
  const section = (id: number, entries: readonly Code[]): Code => {
    const content = [...leb(entries.length), ...entries.flat()]
    return [id, ...leb(content.length), ...content]
  }
  const text = (name: string): Code => [...leb(name.length), ...Buffer.from(name, 'latin1')]
  const code = functions.map(({ integers, vectors, body }) => {
    const bytes = [2, ...leb(integers), 0x7f, ...leb(vectors), 0x7b, ...body, 0x0b]
    return [...leb(bytes.length), ...bytes]
  })
  return Uint8Array.from([
    ...[0, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
    ...section(
      1,
      functions.map(({ parameters }) => [
        0x60,
        parameters,
        ...Array<number>(parameters).fill(0x7f),
        0,
      ]),
    ),
    ...section(
      3,
      functions.map((_, index) => leb(index)),
    ),
    ...section(5, [[0, ...leb(pages)]]),
    ...section(7, [
      [...text('memory'), 2, 0],
      ...functions.map(({ name }, index) => [...text(name), 0, ...leb(index)]),
    ]),
    ...section(10, code),
  ])
}
