import {
  addShape,
  avgPoolShape,
  concatShape,
  convShape,
  flatShape,
  maxPoolShape,
  pairOf,
  sidesOf,
} from './geometry.ts'
import type { Attributes, OnnxGraph } from './onnx-graph.ts'
import type { Conv2d, Ops, Shape } from './ops.ts'

/** A convolution that is not written yet, so that what follows can be folded into its weights. */
interface Pending {
  readonly input: string
  readonly options: Conv2d
  readonly kernel: Shape
  readonly weight: Float32Array
  readonly bias: Float32Array | undefined
}

/** A value of the graph. */
export interface OnnxValue {
  readonly shape: Shape
  /** the value's name in the graph; a pending convolution is written when first asked */
  readonly name: () => string
  readonly pending?: Pending
}

/**
 * The rules that write a network into a graph.
 *
 * @param parameters values by PyTorch name, shapes checked
 * @param taps names of the taps that become outputs
 */
export function onnxOps(
  graph: OnnxGraph,
  parameters: ReadonlyMap<string, Float32Array>,
  taps: ReadonlySet<string>,
): Ops<OnnxValue> {
  const { emit, constant } = graph
  const values = (name: string): Float32Array => parameters.get(name)!
  const value = (
    shape: Shape,
    op: string,
    inputs: readonly OnnxValue[],
    attributes: Attributes = {},
    extra: readonly string[] = [],
  ): OnnxValue => {
    const name = emit(op, [...inputs.map(input => input.name()), ...extra], attributes)
    return { shape, name: () => name }
  }
  const pendingConv = (shape: Shape, pending: Pending): OnnxValue => {
    let written: string | undefined
    return { shape, pending, name: () => (written ??= writeConv(graph, pending)) }
  }

  return {
    shape: x => x.shape,
    normalise(x, { mean, std }) {
      const shape = [1, mean.length, 1, 1]
      const centred = emit('Sub', [x.name(), constant('mean', shape, Float32Array.from(mean))])
      const name = emit('Div', [centred, constant('std', shape, Float32Array.from(std))])
      return { shape: x.shape, name: () => name }
    },
    conv2d(name, x, options) {
      const perGroup = x.shape[0]! / (options.groups ?? 1)
      return pendingConv(convShape(name, x.shape, options), {
        input: x.name(),
        options,
        kernel: [options.out, perGroup, ...pairOf(options.kernel)],
        weight: values(`${name}.weight`),
        bias: options.bias ? values(`${name}.bias`) : undefined,
      })
    },
    batchNorm(name, x, { eps }) {
      const weight = values(`${name}.weight`)
      const bias = values(`${name}.bias`)
      const mean = values(`${name}.running_mean`)
      const variance = values(`${name}.running_var`)
      if (x.pending) {
        const before = x.pending.bias
        const gain = weight.map((w, i) => w / Math.sqrt(variance[i]! + eps))
        const shift = bias.map((b, i) => b + ((before?.[i] ?? 0) - mean[i]!) * gain[i]!)
        return pendingConv(x.shape, multiplied(x.pending, gain, shift))
      }
      const inputs = Object.entries({ weight, bias, running_mean: mean, running_var: variance })
      const names = inputs.map(([key, data]) => constant(`${name}.${key}`, [data.length], data))
      return value(x.shape, 'BatchNormalization', [x], { epsilon: { float: eps } }, names)
    },
    relu: x => value(x.shape, 'Relu', [x]),
    relu6(x) {
      const low = constant('zero', [], Float32Array.of(0))
      const high = constant('six', [], Float32Array.of(6))
      return value(x.shape, 'Clip', [x], {}, [low, high])
    },
    prelu(name, x) {
      const slope = values(`${name}.weight`)
      const width = slope.length
      if (x.shape.length !== 3)
        return value(x.shape, 'PRelu', [x], {}, [constant(`${name}.weight`, [width], slope)])
      // ONNX Runtime's blocked layout has no PRelu: a x + (1 - a) relu(x) stays in it
      const scaled = (part: string, by: Float32Array, input: OnnxValue) =>
        value(x.shape, 'Conv', [input], { kernel_shape: [1, 1], group: width }, [
          constant(`${name}.${part}`, [width, 1, 1, 1], by),
        ])
      const bent = value(x.shape, 'Relu', [x])
      const parts = [
        scaled('linear', slope, x),
        scaled(
          'bend',
          slope.map(a => 1 - a),
          bent,
        ),
      ]
      return value(x.shape, 'Add', parts)
    },
    maxPool: (x, options) =>
      value(maxPoolShape(x.shape, options), 'MaxPool', [x], {
        kernel_shape: pairOf(options.kernel),
        strides: pairOf(options.stride),
        pads: sidesOf(options.padding),
        ceil_mode: options.ceil ? 1 : 0,
      }),
    avgPool: (x, options) =>
      value(avgPoolShape(x.shape, options), 'AveragePool', [x], {
        kernel_shape: pairOf(options.kernel),
        strides: pairOf(options.stride),
      }),
    globalAveragePool(x) {
      const name = emit('Flatten', [emit('GlobalAveragePool', [x.name()])], { axis: 1 })
      return { shape: [x.shape[0]!], name: () => name }
    },
    concat: parts =>
      value(concatShape(parts.map(part => part.shape)), 'Concat', parts, { axis: 1 }),
    add: (a, b) => value(addShape(a.shape, b.shape), 'Add', [a, b]),
    scale(x, factor) {
      if (x.pending) {
        const gain = new Float32Array(x.shape[0]!).fill(factor)
        const bias = x.pending.bias?.map(b => b * factor)
        return pendingConv(x.shape, multiplied(x.pending, gain, bias))
      }
      const by = constant(graph.fresh('factor'), [], Float32Array.of(factor))
      return value(x.shape, 'Mul', [x], {}, [by])
    },
    dense(name, x, { out, bias }) {
      const weight = values(`${name}.weight`)
      const extra = [constant(`${name}.weight`, [out, weight.length / out], weight)]
      if (bias !== false) extra.push(constant(`${name}.bias`, [out], values(`${name}.bias`)))
      return value([out], 'Gemm', [x], { transB: 1 }, extra)
    },
    softmax: x => value(x.shape, 'Softmax', [x], { axis: 1 }),
    flatten(x) {
      const turned = emit('Transpose', [x.name()], { perm: [0, 3, 2, 1] })
      const name = emit('Flatten', [turned], { axis: 1 })
      return { shape: flatShape(x.shape), name: () => name }
    },
    dropout: x => x,
    tap(name, x) {
      if (taps.has(name)) graph.output(name, x.name(), x.shape)
      return x
    },
  }
}

function writeConv(
  { fresh, emit, constant }: OnnxGraph,
  { input, options, kernel, weight, bias }: Pending,
): string {
  const output = fresh('Conv')
  const inputs = [input, constant(`${output}.weight`, kernel, weight)]
  if (bias) inputs.push(constant(`${output}.bias`, [bias.length], bias))
  const attributes = {
    kernel_shape: kernel.slice(2),
    strides: pairOf(options.stride ?? 1),
    pads: sidesOf(options.padding),
    group: options.groups ?? 1,
  }
  return emit('Conv', inputs, attributes, output)
}

/** The convolution with its output channels multiplied by `gain`, and another bias. */
function multiplied(conv: Pending, gain: Float32Array, bias: Float32Array | undefined): Pending {
  const span = conv.weight.length / gain.length
  const weight = conv.weight.map((w, i) => w * gain[Math.floor(i / span)]!)
  return { ...conv, weight, bias }
}
