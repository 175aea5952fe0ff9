import { writeOnnxModel } from '@deepfever/runtime'
import type { OnnxAttribute, OnnxConstant, OnnxNode, OnnxPort } from '@deepfever/runtime'
import type { StateDict } from '@deepfever/formats'

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
import type { Network } from './network.ts'
import type { Conv2d, Ops, Shape } from './ops.ts'
import { describeNetwork } from './shapes.ts'
import { parametersOf } from './state.ts'

/** What an ONNX form of a network takes and gives. */
export interface OnnxForm {
  /** 'normalised': the network's own input; 'pixels': RGB 0..255, normalised in the graph */
  readonly input?: 'normalised' | 'pixels'
  readonly type?: 'float32' | 'uint8'
  /** batch, channels, height, width; or channels last, as images lie in memory */
  readonly layout?: 'nchw' | 'nhwc'
  /** the outputs to keep; all when absent */
  readonly outputs?: readonly string[]
  /** taps that become outputs too, under their own names */
  readonly taps?: readonly string[]
  readonly metadata?: Readonly<Record<string, string>>
}

/** A convolution that is not written yet, so that what follows can be folded into its weights. */
interface Pending {
  readonly input: string
  readonly options: Conv2d
  readonly kernel: Shape
  readonly weight: Float32Array
  readonly bias: Float32Array | undefined
}

interface Value {
  readonly shape: Shape
  /** the value's name in the graph; a pending convolution is written when first asked */
  readonly name: () => string
  readonly pending?: Pending
}

/**
 * The ONNX file of a network: input `image`, any batch size, outputs and taps in PyTorch layout.
 * Batch normalisation and scaling after a convolution are folded into its weights.
 *
 * @throws ShapeError when a weight is missing or has another shape
 */
export function toOnnx(network: Network, state: StateDict, form: OnnxForm = {}): Uint8Array {
  const parameters = parametersOf(network, state)
  const { taps: tapShapes } = describeNetwork(network)
  const wantedTaps = new Set(form.taps)
  const nodes: OnnxNode[] = []
  const constants = new Map<string, OnnxConstant>()
  const outputs: OnnxPort[] = []
  let count = 0

  const values = (name: string): Float32Array => parameters.get(name)!
  const constant = (name: string, shape: Shape, data: Float32Array): string => {
    constants.set(name, { name, shape, values: data })
    return name
  }
  const emit = (
    op: string,
    inputs: readonly string[],
    attributes: Readonly<Record<string, OnnxAttribute>> = {},
    output = `${op.toLowerCase()}_${count++}`,
  ): string => {
    nodes.push({ op, inputs, outputs: [output], attributes })
    return output
  }
  const value = (
    shape: Shape,
    op: string,
    inputs: readonly Value[],
    attributes?: Readonly<Record<string, OnnxAttribute>>,
    extra: readonly string[] = [],
  ): Value => {
    const name = emit(op, [...inputs.map(input => input.name()), ...extra], attributes)
    return { shape, name: () => name }
  }
  const pendingConv = (shape: Shape, pending: Pending): Value => {
    let written: string | undefined
    return { shape, pending, name: () => (written ??= writeConv(pending)) }
  }
  const writeConv = ({ input, options, kernel, weight, bias }: Pending): string => {
    const output = `conv_${count++}`
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
  const port = (name: string, shape: Shape) =>
    outputs.push({ name, type: 'float32', shape: dimensionsOf(name, shape) })

  const ops: Ops<Value> = {
    shape: x => x.shape,
    normalise(x, { mean, std }) {
      const shape = [1, mean.length, 1, 1]
      const centred = emit('Sub', [x.name(), constant('mean', shape, Float32Array.from(mean))])
      const name = emit('Div', [centred, constant('std', shape, Float32Array.from(std))])
      return { shape: x.shape, name: () => name }
    },
    conv2d(name, x, options) {
      const kernel = [
        options.out,
        x.shape[0]! / (options.groups ?? 1),
        ...pairOf(options.kernel),
      ]
      const weight = values(`${name}.weight`)
      const bias = options.bias ? values(`${name}.bias`) : undefined
      const input = x.name()
      return pendingConv(convShape(name, x.shape, options), { input, options, kernel, weight, bias })
    },
    batchNorm(name, x, { eps }) {
      const weight = values(`${name}.weight`)
      const bias = values(`${name}.bias`)
      const mean = values(`${name}.running_mean`)
      const variance = values(`${name}.running_var`)
      const gain = weight.map((w, i) => w / Math.sqrt(variance[i]! + eps))
      if (x.pending) {
        const before = x.pending.bias
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
      const shape = [slope.length, ...x.shape.slice(1).map(() => 1)]
      return value(x.shape, 'PRelu', [x], {}, [constant(`${name}.weight`, shape, slope)])
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
        return pendingConv(x.shape, multiplied(x.pending, gain, x.pending.bias?.map(b => b * factor)))
      }
      const by = constant(`scale_${count}`, [], Float32Array.of(factor))
      return value(x.shape, 'Mul', [x], {}, [by])
    },
    dense(name, x, options) {
      const weight = values(`${name}.weight`)
      const shape = [options.out, weight.length / options.out]
      const extra = [constant(`${name}.weight`, shape, weight)]
      if (options.bias !== false)
        extra.push(constant(`${name}.bias`, [options.out], values(`${name}.bias`)))
      return value([options.out], 'Gemm', [x], { transB: 1 }, extra)
    },
    softmax: x => value(x.shape, 'Softmax', [x], { axis: 1 }),
    flatten(x) {
      const turned = emit('Transpose', [x.name()], { perm: [0, 3, 2, 1] })
      const name = emit('Flatten', [turned], { axis: 1 })
      return { shape: flatShape(x.shape), name: () => name }
    },
    dropout: x => x,
    tap(name, x) {
      if (wantedTaps.has(name)) {
        emit('Identity', [x.name()], {}, name)
        port(name, tapShapes[name]!)
      }
      return x
    },
  }

  const { port: input, value: image } = inputOf(network, form, emit)
  const ready = form.input === 'pixels' ? ops.normalise(image, network.normalisation) : image
  const built = network.build(ops, ready)
  for (const name of form.outputs ?? network.outputs) {
    const output = built[name]!
    emit('Identity', [output.name()], {}, name)
    port(name, output.shape)
  }
  return writeOnnxModel({
    name: network.name,
    inputs: [input],
    outputs,
    constants: [...constants.values()],
    nodes,
    ...(form.metadata && { metadata: form.metadata }),
  })
}

// an output's free sizes are other numbers than the input's, so they get other names
const dimensionsOf = (port: string, shape: Shape): (number | string)[] => [
  'batch',
  ...shape.map((size, axis) => (Number.isNaN(size) ? `${port}_${'chw'[axis]}` : size)),
]

function multiplied(conv: Pending, gain: Float32Array, bias: Float32Array | undefined): Pending {
  const span = conv.weight.length / gain.length
  const weight = conv.weight.map((w, i) => w * gain[Math.floor(i / span)]!)
  return { ...conv, weight, bias }
}

function inputOf(
  network: Network,
  { type = 'float32', layout = 'nchw' }: OnnxForm,
  emit: (op: string, inputs: readonly string[], attributes?: Record<string, OnnxAttribute>) => string,
): { port: OnnxPort; value: Value } {
  const [batch, channels, height, width] = dimensionsOf('image', network.input)
  const shape =
    layout === 'nchw' ? [batch!, channels!, height!, width!] : [batch!, height!, width!, channels!]
  let name = 'image'
  if (type === 'uint8') name = emit('Cast', [name], { to: 1 })
  if (layout === 'nhwc') name = emit('Transpose', [name], { perm: [0, 3, 1, 2] })
  return { port: { name: 'image', type, shape }, value: { shape: network.input, name: () => name } }
}
