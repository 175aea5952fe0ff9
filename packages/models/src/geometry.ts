import { ShapeError } from '@deepfever/core'

import type { AvgPool, Conv2d, MaxPool, Padding, Pair, Shape } from './ops.ts'

/** [height, width] of a size given as one number or two. */
export const pairOf = (size: Pair): readonly [number, number] =>
  typeof size === 'number' ? [size, size] : size

/** Padding as [top, left, bottom, right], the order of ONNX. */
export function sidesOf(padding: Padding = 0): readonly [number, number, number, number] {
  if (typeof padding === 'number') return [padding, padding, padding, padding]
  if (padding.length === 4) return padding
  return [padding[0], padding[1], padding[0], padding[1]]
}

/** Height and width out of a window operation; NaN stays NaN. */
function windowed(
  [height, width]: readonly [number, number],
  options: { kernel: Pair; stride?: Pair; padding?: Padding },
  round: (size: number) => number,
): readonly [number, number] {
  const [kh, kw] = pairOf(options.kernel)
  const [sh, sw] = pairOf(options.stride ?? 1)
  const [top, left, bottom, right] = sidesOf(options.padding)
  return [round((height + top + bottom - kh) / sh) + 1, round((width + left + right - kw) / sw) + 1]
}

function spatial(what: string, shape: Shape): readonly [number, number, number] {
  const [channels, height, width] = shape
  if (shape.length !== 3 || channels === undefined || height === undefined || width === undefined)
    throw new ShapeError(`${what}: input is [${shape}], expected [channels, height, width]`, {
      found: shape,
    })
  return [channels, height, width]
}

function whole(what: string, input: Shape, output: Shape): Shape {
  if (output.some(size => size < 1))
    throw new ShapeError(
      `${what}: an input of [${input}] leaves [${output}]; use a larger image or fewer stages`,
      { found: input, wanted: 'every size at least 1' },
    )
  return output
}

/** The shape after a convolution. */
export function convShape(name: string, shape: Shape, options: Conv2d): Shape {
  const [channels, ...size] = spatial(name, shape)
  const groups = options.groups ?? 1
  if (groups !== 1 && (groups !== channels || options.out % channels !== 0))
    throw new ShapeError(
      `${name}: ${groups} groups over ${channels} channels, expected 1 or one a channel`,
      { name, found: groups, wanted: [1, channels] },
    )
  return whole(name, shape, [options.out, ...windowed(size, options, Math.floor)])
}

/** The shape after maximum pooling, by torch's rule in both rounding modes. */
export function maxPoolShape(shape: Shape, options: MaxPool): Shape {
  const [channels, ...size] = spatial('maxPool', shape)
  const out = windowed(size, options, options.ceil ? Math.ceil : Math.floor)
  const strides = pairOf(options.stride)
  const [top, left] = sidesOf(options.padding)
  // torch drops a last window that would begin beyond the image and its padding
  const fits = (n: number, axis: 0 | 1) =>
    (n - 1) * strides[axis] >= size[axis] + (axis === 0 ? top : left) ? n - 1 : n
  return whole('maxPool', shape, [channels, fits(out[0], 0), fits(out[1], 1)])
}

/** The shape after average pooling of whole windows. */
export function avgPoolShape(shape: Shape, options: AvgPool): Shape {
  const [channels, ...size] = spatial('avgPool', shape)
  return whole('avgPool', shape, [channels, ...windowed(size, options, Math.floor)])
}

/** The shape of values joined along channels. */
export function concatShape(shapes: readonly Shape[]): Shape {
  const [first, ...others] = shapes
  if (first === undefined)
    throw new ShapeError('concat: no values', { found: 0, wanted: '1 or more' })
  for (const other of others)
    if (!sameShape(other.slice(1), first.slice(1)))
      throw new ShapeError(`concat: [${other}] does not fit beside [${first}]`, {
        found: other,
        wanted: first,
      })
  return [shapes.reduce((sum, shape) => sum + shape[0]!, 0), ...first.slice(1)]
}

/** The shape of a sum of two values of one shape. */
export function addShape(a: Shape, b: Shape): Shape {
  if (!sameShape(a, b))
    throw new ShapeError(`add: [${a}] and [${b}] differ`, { found: b, wanted: a })
  return a
}

/** The number of elements, for flattening; unknown sizes are refused. */
export function flatShape(shape: Shape): Shape {
  const size = shape.reduce((product, n) => product * n, 1)
  if (Number.isNaN(size))
    throw new ShapeError(`flatten: [${shape}] has a size known only at run time`, { found: shape })
  return [size]
}

/** Whether two shapes are equal; a size known only at run time equals any. */
const sameShape = (a: Shape, b: Shape): boolean =>
  a.length === b.length && a.every((n, i) => n === b[i] || Number.isNaN(n) || Number.isNaN(b[i]!))
