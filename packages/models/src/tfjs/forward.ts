import { DeepFeverError, ShapeError } from '@deepfever/core'
import { tf } from '@deepfever/runtime'

import { maxPoolShape, pairOf, sidesOf } from '../geometry.ts'
import type { Network } from '../network.ts'
import type { Normalisation, Ops, Pair, Shape } from '../ops.ts'
import { padSides, portableKernels } from './kernels.ts'
import type { BatchNormResult, TfjsKernels } from './kernels.ts'
import type { TfjsParameters } from './parameters.ts'

/** torch's default: the weight of the newest batch in the running statistics. */
export const NORM_MOMENTUM = 0.1

/** How a network is run. */
export interface ForwardOptions {
  /** true: batch normalisation by the batch's own statistics, which update the running ones */
  readonly training?: boolean
  /** training: rows of each batch-norm batch, in order; one joint batch when absent */
  readonly parts?: readonly number[]
  /** training: what dropout multiplies with, [batch, width], 0 or 1 / (1 - rate); else no dropout */
  readonly mask?: tf.Tensor2D
  /** names of taps to give back */
  readonly taps?: readonly string[]
  /** operations that this backend does better than the portable compositions */
  readonly kernels?: Partial<TfjsKernels>
}

/** What a run gives: tensors by name, maps [n, h, w, c], vectors [n, c]. */
export interface Forward<Output extends string = string> {
  readonly outputs: Readonly<Record<Output, tf.Tensor>>
  readonly taps: Readonly<Record<string, tf.Tensor>>
  /**
   * training: the new running statistics by parameter name. Inside `tf.valueAndGrads`, `tf.keep`
   * them: it disposes of what its function made.
   */
  readonly statistics: ReadonlyMap<string, tf.Tensor>
}

/**
 * Runs a network on normalised images [n, h, w, 3]: an ordinary differentiable TensorFlow.js
 * computation, to be called in `tf.tidy` or inside `tf.valueAndGrads`.
 *
 * @throws ShapeError when `parts` do not add up to the batch or the mask has another shape
 */
export function forward<Output extends string>(
  network: Network<Output>,
  images: tf.Tensor4D,
  parameters: TfjsParameters,
  options: ForwardOptions = {},
): Forward<Output> {
  const { training = false, parts, mask } = options
  if (!training || parts === undefined || parts.length < 2)
    return forwardPart(network, images, parameters, { ...options, mask, statistics: new Map() })
  const total = parts.reduce((sum, rows) => sum + rows, 0)
  if (total !== images.shape[0])
    throw new ShapeError(
      `${network.name}: parts ${parts.join(' + ')} are ${total} rows, the batch has ${images.shape[0]}`,
      { found: total, wanted: images.shape[0] },
    )
  const sizes = [...parts]
  const masks = mask && (tf.split(mask, sizes) as tf.Tensor2D[])
  let statistics: ReadonlyMap<string, tf.Tensor> = new Map()
  const runs = (tf.split(images, sizes) as tf.Tensor4D[]).map((part, i) => {
    const run = forwardPart(network, part, parameters, { ...options, mask: masks?.[i], statistics })
    statistics = run.statistics
    return run
  })
  const joined = (pick: (run: Forward<Output>) => Readonly<Record<string, tf.Tensor>>) =>
    Object.fromEntries(
      Object.keys(pick(runs[0]!)).map(name => [name, tf.concat(runs.map(run => pick(run)[name]!))]),
    )
  return {
    outputs: joined(run => run.outputs) as Record<Output, tf.Tensor>,
    taps: joined(run => run.taps),
    statistics,
  }
}

/** RGB pixels 0..255, [n, h, w, 3], as the network's input. */
export function normalisePixels(pixels: tf.Tensor4D, { mean, std }: Normalisation): tf.Tensor4D {
  return tf.div(tf.sub(pixels, tf.tensor1d([...mean])), tf.tensor1d([...std]))
}

/** Dropout's factors from uniforms in [0, 1): 0 below `rate`, 1 / (1 - rate) from it on. */
export function dropoutMask(uniform: Float32Array, rate: number): Float32Array {
  return uniform.map(u => (u >= rate ? 1 / (1 - rate) : 0))
}

interface PartOptions extends Omit<ForwardOptions, 'mask'> {
  readonly mask: tf.Tensor2D | undefined
  /** running statistics that replace the parameters' */
  readonly statistics: ReadonlyMap<string, tf.Tensor>
}

function forwardPart<Output extends string>(
  network: Network<Output>,
  images: tf.Tensor4D,
  parameters: TfjsParameters,
  options: PartOptions,
): Forward<Output> {
  const statistics = new Map(options.statistics)
  const taps: Record<string, tf.Tensor> = {}
  const ops = tfjsOps(network.name, parameters, { ...options, statistics, recorded: taps })
  return { outputs: network.build(ops, images as tf.Tensor), taps, statistics }
}

interface RuleOptions extends PartOptions {
  readonly statistics: Map<string, tf.Tensor>
  readonly recorded: Record<string, tf.Tensor>
}

function tfjsOps(place: string, parameters: TfjsParameters, options: RuleOptions): Ops<tf.Tensor> {
  const { training = false, mask, statistics, recorded } = options
  const kernels: TfjsKernels = { ...portableKernels, ...options.kernels }
  const wantedTaps = new Set(options.taps)
  const parameter = <T extends tf.Tensor>(name: string): T => {
    const found = parameters.get(name)
    if (found === undefined)
      throw new DeepFeverError(`${place}: parameter ${name} was not loaded for this network`, {
        name,
      })
    return found as T
  }
  const update = (name: string, batch: tf.Tensor) => {
    const before = statistics.get(name) ?? parameter(name)
    statistics.set(name, tf.add(tf.mul(before, 1 - NORM_MOMENTUM), tf.mul(batch, NORM_MOMENTUM)))
  }

  const updated = (name: string, { y, mean, variance }: BatchNormResult): tf.Tensor => {
    update(`${name}.running_mean`, mean)
    update(`${name}.running_var`, variance)
    return y
  }
  const { denseInput } = kernels

  return {
    ...(training &&
      denseInput && {
        denseInput({ norm, conv }, values, { eps }) {
          const weight = parameter<tf.Tensor1D>(`${norm}.weight`)
          const bias = parameter<tf.Tensor1D>(`${norm}.bias`)
          const filter = parameter<tf.Tensor4D>(`${conv}.weight`)
          const joined = values as readonly tf.Tensor4D[]
          return updated(norm, denseInput(joined, { weight, bias, eps }, filter))
        },
      }),
    shape: shapeOf,
    normalise: (x, by) => normalisePixels(x as tf.Tensor4D, by),
    conv2d(name, x, conv) {
      const weight = parameter<tf.Tensor4D>(`${name}.weight`)
      const y: tf.Tensor = kernels.conv2d(x as tf.Tensor4D, weight, conv)
      return conv.bias ? tf.add(y, parameter(`${name}.bias`)) : y
    },
    batchNorm(name, x, { eps }) {
      const weight = parameter<tf.Tensor1D>(`${name}.weight`)
      const bias = parameter<tf.Tensor1D>(`${name}.bias`)
      if (!training) {
        const inverse = tf.rsqrt(tf.add(parameter(`${name}.running_var`), eps))
        const gain = tf.mul(weight, inverse)
        const shift = tf.sub(bias, tf.mul(parameter(`${name}.running_mean`), gain))
        return tf.add(tf.mul(x, gain), shift)
      }
      return updated(name, kernels.batchNorm(x as tf.Tensor4D, weight, bias, eps))
    },
    relu: x => kernels.relu(x),
    relu6: x => tf.relu6(x),
    prelu: (name, x) => tf.prelu(x, parameter(`${name}.weight`)),
    maxPool(x, pool) {
      const [, height, width] = shapeOf(x) as [number, number, number]
      const [, outHeight, outWidth] = maxPoolShape(shapeOf(x), pool) as [number, number, number]
      const [kh, kw] = pairOf(pool.kernel)
      const [sh, sw] = pairOf(pool.stride)
      const [top, left] = sidesOf(pool.padding)
      const bottom = Math.max(0, (outHeight - 1) * sh + kh - height - top)
      const right = Math.max(0, (outWidth - 1) * sw + kw - width - left)
      const sides = [top, left, bottom, right] as const
      const padded = padSides(x as tf.Tensor4D, sides, Number.NEGATIVE_INFINITY)
      return tf.maxPool(padded, [kh, kw], [sh, sw], 'valid')
    },
    avgPool: (x, pool) =>
      tf.avgPool(x as tf.Tensor4D, mutable(pool.kernel), mutable(pool.stride), 'valid'),
    globalAveragePool: x => tf.mean(x, [1, 2]),
    concat: values => tf.concat([...values], -1),
    add: (a, b) => tf.add(a, b),
    scale: (x, factor) => tf.mul(x, factor),
    dense(name, x, dense) {
      const y = tf.matMul(x as tf.Tensor2D, parameter<tf.Tensor2D>(`${name}.weight`))
      return dense.bias === false ? y : tf.add(y, parameter(`${name}.bias`))
    },
    softmax: x => tf.softmax(x),
    flatten: x => tf.reshape(tf.transpose(x, [0, 2, 1, 3]), [x.shape[0]!, -1]),
    dropout(x) {
      if (!training || mask === undefined) return x
      if (mask.shape[0] !== x.shape[0] || mask.shape[1] !== x.shape[1])
        throw new ShapeError(`${place}: dropout mask is [${mask.shape}], expected [${x.shape}]`, {
          found: mask.shape,
          wanted: x.shape,
        })
      return tf.mul(x, mask)
    },
    tap(name, x) {
      if (wantedTaps.has(name)) recorded[name] = x
      return x
    },
  }
}

/** [n, h, w, c] as [c, h, w]; [n, c] as [c]. */
function shapeOf(x: tf.Tensor): Shape {
  const [, ...rest] = x.shape
  return [rest.at(-1)!, ...rest.slice(0, -1)]
}

const mutable = (pair: Pair): [number, number] => [...pairOf(pair)]
