import { tf } from '@deepfever/runtime'
import type { StateDict, Tensor } from '@deepfever/formats'

import type { Network } from '../network.ts'
import { describeNetwork } from '../shapes.ts'
import type { Parameter, ParameterKind } from '../shapes.ts'
import { float32Tensor, parametersOf } from '../state.ts'

/** A network's parameters in TensorFlow.js layout, by PyTorch name. */
export type TfjsParameters = ReadonlyMap<string, tf.Tensor>

// where axis i of the TensorFlow.js tensor lies in the PyTorch tensor
const AXES: Partial<Record<ParameterKind, readonly number[]>> = {
  'conv-weight': [2, 3, 1, 0],
  'dense-weight': [1, 0],
}

/** A parameter's shape in TensorFlow.js layout: kernels [kh, kw, in, out], dense [in, out]. */
export function tfjsShape({ kind, shape }: Parameter): readonly number[] {
  // depthwise: [channels * multiplier, 1, kh, kw] to [kh, kw, channels, multiplier], multiplier 1
  if (kind === 'depthwise-weight') return [shape[2]!, shape[3]!, shape[0]!, 1]
  return (AXES[kind] ?? shape.map((_, axis) => axis)).map(axis => shape[axis]!)
}

/** A parameter's values rearranged from PyTorch layout to TensorFlow.js layout. */
export function toTfjsLayout(parameter: Parameter, values: Float32Array): Float32Array {
  return rearranged(parameter, values, (to, from, at, source) => {
    to[at] = from[source]!
  })
}

/** A parameter's values rearranged from TensorFlow.js layout to PyTorch layout. */
export function fromTfjsLayout(parameter: Parameter, values: Float32Array): Float32Array {
  return rearranged(parameter, values, (to, from, at, source) => {
    to[source] = from[at]!
  })
}

/**
 * A network's weights in TensorFlow.js layout, by PyTorch name.
 *
 * @throws ShapeError when a weight is missing or has another shape
 */
export function toTfjsValues(network: Network, state: StateDict): Map<string, Float32Array> {
  const values = parametersOf(network, state)
  return new Map(
    describeNetwork(network).parameters.map(parameter => [
      parameter.name,
      toTfjsLayout(parameter, values.get(parameter.name)!),
    ]),
  )
}

/**
 * A network's weights as tensors on the current backend, converted once.
 *
 * @throws ShapeError when a weight is missing or has another shape
 */
export function loadParameters(network: Network, state: StateDict): Map<string, tf.Tensor> {
  const values = toTfjsValues(network, state)
  return new Map(
    describeNetwork(network).parameters.map(parameter => {
      const data = values.get(parameter.name)!
      return [parameter.name, tf.tensor(data, [...tfjsShape(parameter)], 'float32')]
    }),
  )
}

/** The weights read back, in PyTorch layout. */
export async function readParameters(
  network: Network,
  parameters: TfjsParameters,
): Promise<StateDict> {
  const state = new Map<string, Tensor>()
  for (const parameter of describeNetwork(network).parameters) {
    const { name, shape } = parameter
    const data = (await parameters.get(name)!.data()) as Float32Array
    state.set(name, float32Tensor(shape, fromTfjsLayout(parameter, data)))
  }
  return state
}

type Copy = (to: Float32Array, from: Float32Array, at: number, source: number) => void

/** Visits every element in TensorFlow.js order, with its index in PyTorch order. */
function rearranged(parameter: Parameter, values: Float32Array, copy: Copy): Float32Array {
  const { kind, shape } = parameter
  const axes = kind === 'depthwise-weight' ? [2, 3, 0, 1] : AXES[kind]
  if (axes === undefined) return values.slice()
  const strides = shape.map((_, i) => shape.slice(i + 1).reduce((product, n) => product * n, 1))
  const sizes = axes.map(axis => shape[axis]!)
  const steps = axes.map(axis => strides[axis]!)
  const to = new Float32Array(values.length)
  const index = sizes.map(() => 0)
  let source = 0
  for (let at = 0; at < values.length; at++) {
    copy(to, values, at, source)
    for (let axis = sizes.length - 1; axis >= 0; axis--) {
      source += steps[axis]!
      if (++index[axis]! < sizes[axis]!) break
      source -= steps[axis]! * sizes[axis]!
      index[axis] = 0
    }
  }
  return to
}
