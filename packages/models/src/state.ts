import { ShapeError } from '@deepfever/core'
import type { StateDict, Tensor } from '@deepfever/formats'

import type { Network } from './network.ts'
import type { Shape } from './ops.ts'
import { describeNetwork } from './shapes.ts'

/** A float32 tensor in PyTorch layout. */
export function float32Tensor(shape: Shape, values: Float32Array): Tensor {
  return { shape, dtype: 'float32', values }
}

/** A tensor's values as float32; integers are converted, wider floats rounded. */
export function floatsOf(tensor: Tensor): Float32Array {
  const { values } = tensor
  if (values instanceof Float32Array) return values
  return Float32Array.from(values as ArrayLike<number | bigint>, Number)
}

/**
 * The values of a network's parameters, each looked up by name and checked against its shape.
 *
 * @throws ShapeError naming the first tensor that is missing or has another shape
 */
export function parametersOf(network: Network, state: StateDict): Map<string, Float32Array> {
  const found = new Map<string, Float32Array>()
  for (const { name, shape } of describeNetwork(network).parameters) {
    const tensor = state.get(name)
    if (tensor === undefined)
      throw new ShapeError(
        `${network.name}: weights lack ${name}, expected [${shape}]; import them for this network`,
        { name, found: undefined, wanted: shape },
      )
    requireShape(network.name, name, tensor.shape, shape)
    found.set(name, floatsOf(tensor))
  }
  return found
}

/** @throws ShapeError naming the tensor, its shape and the wanted one */
export function requireShape(place: string, name: string, found: Shape, wanted: Shape): void {
  if (found.length !== wanted.length || found.some((size, i) => size !== wanted[i]))
    throw new ShapeError(`${place}: ${name} is [${found}], expected [${wanted}]`, {
      name,
      found,
      wanted,
    })
}
