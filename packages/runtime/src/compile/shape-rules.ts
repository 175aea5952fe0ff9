import { ShapeError } from '@deepfever/core'

import type { TensorValues } from '../native/addon.ts'
import { DTYPES } from './graph.ts'

/** What is known of a tensor without computing it. */
export interface Known {
  readonly shape: readonly number[]
  readonly dtype: number
  /** of small constants */
  readonly values?: TensorValues | undefined
}

/** Attribute values by name, as the kernels give them. */
type Settings = Readonly<Record<string, unknown>>

/**
 * The outputs of an operation from its inputs. A wrong rule cannot pass unnoticed: TensorFlow infers
 * all shapes again when it loads the graph.
 */
export type ShapeRule = (inputs: readonly Known[], settings: Settings) => readonly Known[]

const { float32: FLOAT, bool: BOOL, int32: INT } = DTYPES

/** Values of a small constant; operations with shapes from computed tensors have no rule. */
function valuesOf(known: Known | undefined): number[] {
  if (known?.values === undefined)
    throw new ShapeError('a size comes from a computed tensor, wanted a constant', {})
  return Array.from(known.values)
}

function broadcast(a: readonly number[], b: readonly number[]): number[] {
  const rank = Math.max(a.length, b.length)
  return Array.from({ length: rank }, (_, i) => {
    const left = a[a.length - rank + i] ?? 1
    const right = b[b.length - rank + i] ?? 1
    if (left !== right && left !== 1 && right !== 1)
      throw new ShapeError(`[${a}] and [${b}] do not broadcast`, { left: a, right: b })
    return left === 1 ? right : left
  })
}

/** Size of an axis after windows of `kernel` have moved over it. */
function windows(size: number, kernel: number, stride: number, padding: unknown): number {
  if (padding === 'SAME') return Math.ceil(size / stride)
  if (padding === 'VALID') return Math.ceil((size - kernel + 1) / stride)
  throw new ShapeError(`padding ${String(padding)} has no rule`, { padding })
}

const inBounds = (axis: number, rank: number): number => (axis < 0 ? axis + rank : axis)

const same: ShapeRule = ([x]) => [{ shape: x!.shape, dtype: x!.dtype }]
const binary: ShapeRule = ([a, b]) => [{ shape: broadcast(a!.shape, b!.shape), dtype: a!.dtype }]
const comparison: ShapeRule = ([a, b]) => [{ shape: broadcast(a!.shape, b!.shape), dtype: BOOL }]

const reduction: ShapeRule = ([x, axes], { keep_dims: keep }) => {
  const { shape, dtype } = x!
  const gone = new Set(valuesOf(axes).map(axis => inBounds(axis, shape.length)))
  const rest = keep
    ? shape.map((size, i) => (gone.has(i) ? 1 : size))
    : shape.filter((_, i) => !gone.has(i))
  return [{ shape: rest, dtype }]
}

const pool: ShapeRule = ([x], { ksize, strides, padding }) => {
  const [kernel, stride] = [ksize, strides] as [number[], number[]]
  const shape = x!.shape.map((size, i) => windows(size, kernel[i]!, stride[i]!, padding))
  return [{ shape, dtype: x!.dtype }]
}

/** The size is the value of one input, the type that of another. */
const sizedBy =
  (size: number, like: number): ShapeRule =>
  inputs => [{ shape: valuesOf(inputs[size]), dtype: inputs[like]!.dtype }]

const channels = (x: Known, count: number): Known[] =>
  Array.from({ length: count }, () => ({ shape: [x.shape[3]!], dtype: FLOAT }))

const padded: ShapeRule = ([x, paddings]) => {
  const sides = valuesOf(paddings)
  const shape = x!.shape.map((size, i) => size + sides[2 * i]! + sides[2 * i + 1]!)
  return [{ shape, dtype: x!.dtype }]
}

const convolution =
  (outputs: (filter: readonly number[]) => number): ShapeRule =>
  ([x, filter], { strides, padding }) => {
    const [n, height, width] = x!.shape as [number, number, number, number]
    const [kh, kw] = filter!.shape as [number, number, number, number]
    const [, down, right] = strides as [number, number, number, number]
    const shape = [
      n,
      windows(height, kh, down, padding),
      windows(width, kw, right, padding),
      outputs(filter!.shape),
    ]
    return [{ shape, dtype: x!.dtype }]
  }

const rules: Record<string, ShapeRule> = {
  Conv2D: convolution(filter => filter[3]!),
  DepthwiseConv2dNative: convolution(filter => filter[2]! * filter[3]!),
  Conv2DBackpropInput: sizedBy(0, 1),
  Conv2DBackpropFilter: sizedBy(1, 0),
  DepthwiseConv2dNativeBackpropInput: sizedBy(0, 1),
  DepthwiseConv2dNativeBackpropFilter: sizedBy(1, 0),
  FusedBatchNormV3: ([x]) => [
    { shape: x!.shape, dtype: x!.dtype },
    ...channels(x!, 4),
    { shape: [0], dtype: FLOAT },
  ],
  FusedBatchNormGradV3: ([, x]) => [
    { shape: x!.shape, dtype: x!.dtype },
    ...channels(x!, 2),
    { shape: [0], dtype: FLOAT },
    { shape: [0], dtype: FLOAT },
  ],
  MaxPool: pool,
  AvgPool: pool,
  MaxPoolGrad: same,
  AvgPoolGrad: sizedBy(0, 1),
  MatMul: ([a, b], { transpose_a: left, transpose_b: right }) => [
    { shape: [a!.shape[left ? 1 : 0]!, b!.shape[right ? 0 : 1]!], dtype: a!.dtype },
  ],
  BatchMatMulV2: ([a, b], { adj_x: left, adj_y: right }) => [
    {
      shape: [
        ...broadcast(a!.shape.slice(0, -2), b!.shape.slice(0, -2)),
        a!.shape.at(left ? -1 : -2)!,
        b!.shape.at(right ? -2 : -1)!,
      ],
      dtype: a!.dtype,
    },
  ],
  ConcatV2(inputs) {
    const parts = inputs.slice(0, -1)
    const { shape, dtype } = parts[0]!
    const axis = inBounds(valuesOf(inputs.at(-1))[0]!, shape.length)
    const total = parts.reduce((sum, part) => sum + part.shape[axis]!, 0)
    return [{ shape: shape.with(axis, total), dtype }]
  },
  SplitV([x, sizes, axis]) {
    const at = inBounds(valuesOf(axis)[0]!, x!.shape.length)
    return valuesOf(sizes).map(size => ({ shape: x!.shape.with(at, size), dtype: x!.dtype }))
  },
  Unpack: ([x], { axis, num }) =>
    Array.from({ length: num as number }, () => ({
      shape: x!.shape.filter((_, i) => i !== axis),
      dtype: x!.dtype,
    })),
  Pack(inputs, { axis }) {
    const { shape, dtype } = inputs[0]!
    return [{ shape: shape.toSpliced(axis as number, 0, inputs.length), dtype }]
  },
  Slice([x, begin, size]) {
    const [from, sizes] = [valuesOf(begin), valuesOf(size)]
    const shape = x!.shape.map((whole, i) => (sizes[i]! < 0 ? whole - from[i]! : sizes[i]!))
    return [{ shape, dtype: x!.dtype }]
  },
  Pad: padded,
  PadV2: padded,
  Reshape([x, to]) {
    const shape = valuesOf(to)
    const hole = shape.indexOf(-1)
    const size = (sizes: readonly number[]) => sizes.reduce((product, n) => product * n, 1)
    if (hole >= 0) shape[hole] = size(x!.shape) / -size(shape)
    return [{ shape, dtype: x!.dtype }]
  },
  Transpose: ([x, order]) => [
    { shape: valuesOf(order).map(axis => x!.shape[axis]!), dtype: x!.dtype },
  ],
  Tile([x, times]) {
    const counts = valuesOf(times)
    return [{ shape: x!.shape.map((size, i) => size * counts[i]!), dtype: x!.dtype }]
  },
  BroadcastTo: sizedBy(1, 0),
  Fill: sizedBy(0, 1),
  Range([start, stop, step]) {
    const [from, to, by] = [start, stop, step].map(end => valuesOf(end)[0]!) as [
      number,
      number,
      number,
    ]
    return [{ shape: [Math.max(0, Math.ceil((to - from) / by))], dtype: start!.dtype }]
  },
  OneHot: ([indices, depth, on]) => [
    { shape: [...indices!.shape, valuesOf(depth)[0]!], dtype: on!.dtype },
  ],
  Cast: ([x], { DstT: dtype }) => [{ shape: x!.shape, dtype: dtype as number }],
  Select: ([, then]) => [{ shape: then!.shape, dtype: then!.dtype }],
  SelectV2: ([condition, then, otherwise]) => [
    {
      shape: broadcast(condition!.shape, broadcast(then!.shape, otherwise!.shape)),
      dtype: then!.dtype,
    },
  ],
  ArgMax: ([x, axis]) => [
    { shape: x!.shape.toSpliced(inBounds(valuesOf(axis)[0]!, x!.shape.length), 1), dtype: INT },
  ],
  IsNan: ([x]) => [{ shape: x!.shape, dtype: BOOL }],
}

const families: readonly (readonly [ShapeRule, string])[] = [
  [reduction, 'Sum Mean Max Min Prod'],
  [binary, 'AddV2 Add Sub Mul RealDiv Div DivNoNan Maximum Minimum Pow SquaredDifference FloorDiv'],
  [comparison, 'Greater GreaterEqual Less LessEqual Equal NotEqual LogicalAnd LogicalOr'],
  [
    same,
    'Relu ReluGrad Relu6 Relu6Grad Sqrt Rsqrt Square Neg Abs Exp Log Softmax LogSoftmax ZerosLike ' +
      'OnesLike Identity Sign Reciprocal Inv AddN ClipByValue LogicalNot Step',
  ],
]
for (const [rule, ops] of families) for (const op of ops.split(' ')) rules[op] = rule

/** The rule of each TensorFlow operation that a traced step may use. */
export const shapeRules: Readonly<Record<string, ShapeRule>> = rules
