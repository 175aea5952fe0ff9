import * as wasm from './wasm-code.ts'
import type { Code } from './wasm-code.ts'

/** Rows of features multiplied at once; part of the result's bits, so fixed. */
export const BLOCK_ROWS = 64

const CLASSES_AT_ONCE = 4
const PAGE_BYTES = 65_536

// The compiler's ES library leaves WebAssembly to the DOM library, which Node's types do without.
declare const WebAssembly: {
  readonly Module: new (code: Uint8Array<ArrayBuffer>) => object
  readonly Instance: new (module: object) => { readonly exports: Readonly<Record<string, unknown>> }
}

/** One block of rows in the kernel's memory, and the two matrix products of a probe over it. */
export interface ProbeKernel {
  /** classes rounded up to a multiple of four: the row length of `scores` */
  readonly classStride: number
  /** width rounded up to a multiple of four: the row length of the others */
  readonly widthStride: number
  /** float32 [64, widthStride]; columns beyond the width stay zero */
  readonly features: Float32Array
  /** float64 [classStride, widthStride] */
  readonly weights: Float64Array
  /** float64 [64, classStride] */
  readonly scores: Float64Array
  /** float64 [classStride, widthStride] */
  readonly gradient: Float64Array
  /** scores = features weightsᵀ over the first `rows` rows, an even number */
  multiply(rows: number): void
  /** gradient += scoresᵀ features over the first `rows` rows */
  accumulate(rows: number): void
}

/**
 * Builds the two products for one shape, as 128-bit WebAssembly: float32 features, float64 sums.
 * Sums run in an order that depends on the shape alone, so bits are the same on every machine.
 */
export function openProbeKernel(width: number, classes: number): ProbeKernel {
  const widthStride = Math.ceil(width / 4) * 4
  const classStride = Math.ceil(classes / CLASSES_AT_ONCE) * CLASSES_AT_ONCE
  const shape = layout(widthStride, classStride)
  const code = encode(shape)
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(code))
  const { buffer } = exports['memory'] as { readonly buffer: ArrayBuffer }
  const matrix = classStride * widthStride
  return {
    classStride,
    widthStride,
    features: new Float32Array(buffer, shape.features, BLOCK_ROWS * widthStride),
    weights: new Float64Array(buffer, shape.weights, matrix),
    scores: new Float64Array(buffer, shape.scores, BLOCK_ROWS * classStride),
    gradient: new Float64Array(buffer, shape.gradient, matrix),
    multiply: exports['multiply'] as (rows: number) => void,
    accumulate: exports['accumulate'] as (rows: number) => void,
  }
}

interface Layout {
  readonly widthStride: number
  readonly classStride: number
  /** byte addresses */
  readonly features: number
  readonly weights: number
  readonly scores: number
  readonly gradient: number
  readonly end: number
}

function layout(widthStride: number, classStride: number): Layout {
  const weights = BLOCK_ROWS * widthStride * 4
  const scores = weights + classStride * widthStride * 8
  const gradient = scores + BLOCK_ROWS * classStride * 8
  const end = gradient + classStride * widthStride * 8
  return { widthStride, classStride, features: 0, weights, scores, gradient, end }
}

const encode = (shape: Layout): Uint8Array<ArrayBuffer> =>
  wasm.encodeModule(Math.ceil(shape.end / PAGE_BYTES), [
    { name: 'multiply', parameters: 1, integers: 4, vectors: 10, body: multiplyCode(shape) },
    { name: 'accumulate', parameters: 1, integers: 4, vectors: 10, body: accumulateCode(shape) },
  ])

const ROWS = 0
const FEATURE = 1
const COLUMN = 2
const SCORE = 3
const END = 4
const SUM = 5
const LEFT = 13
const RIGHT = 14

const groupsOf = (classStride: number) =>
  Array.from({ length: classStride / CLASSES_AT_ONCE }, (_, g) => g * CLASSES_AT_ONCE)
const FOUR = [0, 1, 2, 3] as const

/** Two rows by four classes at a time, two columns a step. */
function multiplyCode({ widthStride, classStride, features, weights, scores }: Layout): Code {
  const rowBytes = widthStride * 4
  const scoreBytes = classStride * 8
  const columns = (first: number): Code => {
    const step = (column: number): Code => [
      ...wasm.set(LEFT, wasm.loadTwoFloat32(wasm.get(FEATURE), features + column * 4)),
      ...wasm.set(RIGHT, wasm.loadTwoFloat32(wasm.get(FEATURE), features + rowBytes + column * 4)),
      ...FOUR.flatMap(k => {
        const offset = weights + ((first + k) * widthStride + column) * 8
        const weight = wasm.loadTwo(wasm.get(COLUMN), offset)
        return [
          ...wasm.set(SUM + k, wasm.add(wasm.get(SUM + k), wasm.multiply(wasm.get(LEFT), weight))),
          ...wasm.set(
            SUM + 4 + k,
            wasm.add(wasm.get(SUM + 4 + k), wasm.multiply(wasm.get(RIGHT), weight)),
          ),
        ]
      }),
    ]
    return [...step(0), ...step(2), ...wasm.advance(FEATURE, 16), ...wasm.advance(COLUMN, 32)]
  }
  const group = (first: number): Code => [
    ...Array.from({ length: 8 }, (_, k) => wasm.set(SUM + k, wasm.zeros)).flat(),
    ...wasm.set(COLUMN, wasm.constant(0)),
    ...wasm.repeatWhileBelow(COLUMN, wasm.constant(widthStride * 8), columns(first)),
    ...wasm.advance(FEATURE, -rowBytes),
    ...[0, 1].flatMap(row =>
      [0, 2].flatMap(k =>
        wasm.storeTwo(
          wasm.get(SCORE),
          scores + row * scoreBytes + (first + k) * 8,
          wasm.addAcross(wasm.get(SUM + row * 4 + k), wasm.get(SUM + row * 4 + k + 1)),
        ),
      ),
    ),
  ]
  return [
    ...wasm.set(END, [...wasm.get(ROWS), ...wasm.constant(scoreBytes), 0x6c]),
    ...wasm.repeatWhileBelow(SCORE, wasm.get(END), [
      ...groupsOf(classStride).flatMap(group),
      ...wasm.advance(FEATURE, 2 * rowBytes),
      ...wasm.advance(SCORE, 2 * scoreBytes),
    ]),
  ]
}

/** Four columns by four classes at a time, one row a step. */
function accumulateCode({ widthStride, classStride, features, scores, gradient }: Layout): Code {
  const rowBytes = widthStride * 4
  const scoreBytes = classStride * 8
  const sums = (first: number) =>
    FOUR.flatMap(k =>
      [0, 1].map(half => ({
        sum: SUM + 2 * k + half,
        offset: gradient + ((first + k) * widthStride + 2 * half) * 8,
      })),
    )
  const row = (first: number): Code => [
    ...wasm.set(LEFT, wasm.loadTwoFloat32(wasm.get(FEATURE), features)),
    ...wasm.set(RIGHT, wasm.loadTwoFloat32(wasm.get(FEATURE), features + 8)),
    ...FOUR.flatMap(k =>
      [LEFT, RIGHT].flatMap((side, half) => {
        const score = wasm.loadTwice(wasm.get(SCORE), scores + (first + k) * 8)
        const sum = SUM + 2 * k + half
        return wasm.set(sum, wasm.add(wasm.get(sum), wasm.multiply(wasm.get(side), score)))
      }),
    ),
    ...wasm.advance(FEATURE, rowBytes),
    ...wasm.advance(SCORE, scoreBytes),
  ]
  const columns = (first: number): Code => [
    ...sums(first).flatMap(({ sum, offset }) =>
      wasm.set(sum, wasm.loadTwo(wasm.get(COLUMN), offset)),
    ),
    ...wasm.set(SCORE, wasm.constant(0)),
    ...wasm.set(FEATURE, [...wasm.get(COLUMN), ...wasm.constant(1), 0x76]),
    ...wasm.repeatWhileBelow(SCORE, wasm.get(END), row(first)),
    ...sums(first).flatMap(({ sum, offset }) =>
      wasm.storeTwo(wasm.get(COLUMN), offset, wasm.get(sum)),
    ),
    ...wasm.advance(COLUMN, 32),
  ]
  return [
    ...wasm.set(END, [...wasm.get(ROWS), ...wasm.constant(scoreBytes), 0x6c]),
    ...groupsOf(classStride).flatMap(first => [
      ...wasm.set(COLUMN, wasm.constant(0)),
      ...wasm.repeatWhileBelow(COLUMN, wasm.constant(widthStride * 8), columns(first)),
    ]),
  ]
}
