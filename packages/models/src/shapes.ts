import { createHash } from 'node:crypto'

import {
  addShape,
  avgPoolShape,
  concatShape,
  convShape,
  flatShape,
  maxPoolShape,
  pairOf,
} from './geometry.ts'
import type { Network } from './network.ts'
import type { Ops, Shape } from './ops.ts'

/** What a parameter is for: its initial value and its part in training follow from it. */
export type ParameterKind =
  | 'conv-weight'
  | 'depthwise-weight'
  | 'dense-weight'
  | 'bias'
  | 'norm-weight'
  | 'norm-bias'
  | 'running-mean'
  | 'running-variance'
  | 'prelu-weight'

/** One tensor of a network, as it stands in a PyTorch state dict. */
export interface Parameter {
  readonly name: string
  readonly shape: Shape
  readonly kind: ParameterKind
  /** false for running statistics */
  readonly trainable: boolean
}

/** A network as facts: nothing is allocated to find them. */
export interface Summary {
  readonly parameters: readonly Parameter[]
  /** the number of trainable values, as PyTorch counts parameters */
  readonly count: number
  readonly outputs: Readonly<Record<string, Shape>>
  readonly taps: Readonly<Record<string, Shape>>
  /** sha256 of the operations with their options, in order: the identity of the architecture */
  readonly digest: string
}

interface Node {
  readonly id: number
  readonly shape: Shape
}

const sizeOf = (shape: Shape): number => shape.reduce((product, n) => product * n, 1)

/** Runs a network on shapes alone. */
export function describeNetwork(network: Network): Summary {
  const parameters = new Map<string, Parameter>()
  const taps: Record<string, Shape> = {}
  const hash = createHash('sha256')
  let id = 0

  const node = (shape: Shape, op: string, inputs: readonly Node[], options: object = {}): Node => {
    hash.update(JSON.stringify([op, inputs.map(input => input.id), options, shape]) + '\n')
    return { id: id++, shape }
  }
  const own = (name: string, shape: Shape, kind: ParameterKind) => {
    const trainable = kind !== 'running-mean' && kind !== 'running-variance'
    parameters.set(name, { name, shape, kind, trainable })
  }

  const ops: Ops<Node> = {
    shape: x => x.shape,
    normalise: (x, by) => node(x.shape, 'normalise', [x], by),
    conv2d(name, x, options) {
      const shape = convShape(name, x.shape, options)
      const groups = options.groups ?? 1
      const kernel = pairOf(options.kernel)
      own(
        `${name}.weight`,
        [options.out, x.shape[0]! / groups, ...kernel],
        groups === 1 ? 'conv-weight' : 'depthwise-weight',
      )
      if (options.bias) own(`${name}.bias`, [options.out], 'bias')
      return node(shape, 'conv2d', [x], { name, ...options })
    },
    batchNorm(name, x, options) {
      const channels = [x.shape[0]!]
      own(`${name}.weight`, channels, 'norm-weight')
      own(`${name}.bias`, channels, 'norm-bias')
      own(`${name}.running_mean`, channels, 'running-mean')
      own(`${name}.running_var`, channels, 'running-variance')
      return node(x.shape, 'batchNorm', [x], { name, ...options })
    },
    relu: x => node(x.shape, 'relu', [x]),
    relu6: x => node(x.shape, 'relu6', [x]),
    prelu(name, x) {
      own(`${name}.weight`, [x.shape[0]!], 'prelu-weight')
      return node(x.shape, 'prelu', [x], { name })
    },
    maxPool: (x, options) => node(maxPoolShape(x.shape, options), 'maxPool', [x], options),
    avgPool: (x, options) => node(avgPoolShape(x.shape, options), 'avgPool', [x], options),
    globalAveragePool: x => node([x.shape[0]!], 'globalAveragePool', [x]),
    concat: values => node(concatShape(values.map(value => value.shape)), 'concat', values),
    add: (a, b) => node(addShape(a.shape, b.shape), 'add', [a, b]),
    scale: (x, factor) => node(x.shape, 'scale', [x], { factor }),
    dense(name, x, options) {
      own(`${name}.weight`, [options.out, sizeOf(x.shape)], 'dense-weight')
      if (options.bias !== false) own(`${name}.bias`, [options.out], 'bias')
      return node([options.out], 'dense', [x], { name, ...options })
    },
    softmax: x => node(x.shape, 'softmax', [x]),
    flatten: x => node(flatShape(x.shape), 'flatten', [x]),
    dropout: (x, options) => node(x.shape, 'dropout', [x], options),
    tap(name, x) {
      taps[name] = x.shape
      return x
    },
  }

  const built = network.build(ops, node(network.input, 'input', [], network.normalisation))
  const outputs: Record<string, Shape> = {}
  for (const name of network.outputs) outputs[name] = built[name]!.shape
  hash.update(JSON.stringify(network.outputs.map(name => [name, built[name]!.id])))
  const list = [...parameters.values()]
  return {
    parameters: list,
    count: list.filter(p => p.trainable).reduce((sum, p) => sum + sizeOf(p.shape), 0),
    outputs,
    taps,
    digest: hash.digest('hex'),
  }
}
