import { seedOf, wordAt } from '@deepfever/core'
import type { StateDict, Tensor } from '@deepfever/formats'

import type { Network } from './network.ts'
import type { Parameter } from './shapes.ts'
import { describeNetwork } from './shapes.ts'
import { float32Tensor } from './state.ts'

/**
 * Weights that are a function of their names, so that two implementations can be compared without
 * a weight file: u = `uniforms(prefix + name)`, scaled by the parameter's kind.
 */
export function formulaWeights(network: Network, prefix: string): StateDict {
  const state = new Map<string, Tensor>()
  for (const parameter of describeNetwork(network).parameters) {
    const { shape } = parameter
    const [offset, scale] = spread(parameter)
    const values = uniformTensor(prefix + parameter.name, shape, u => offset + scale * u)
    state.set(parameter.name, float32Tensor(shape, values))
  }
  return state
}

/** `map` of the uniforms in [-1, 1) of the stream `name`, rounded to float32, PyTorch layout. */
export function uniformTensor(
  name: string,
  shape: readonly number[],
  map: (u: number) => number = u => u,
): Float32Array {
  const seed = seedOf(name)
  const size = shape.reduce((product, n) => product * n, 1)
  const values = new Float32Array(size)
  for (let i = 0; i < size; i++) values[i] = map(wordAt(seed, i) / 2 ** 31 - 1)
  return values
}

function spread({ kind, shape }: Parameter): readonly [offset: number, scale: number] {
  if (kind === 'norm-weight') return [1, 0.1]
  if (kind === 'running-variance') return [1, 0.5]
  if (kind === 'conv-weight' || kind === 'depthwise-weight' || kind === 'dense-weight') {
    const fanIn = shape.slice(1).reduce((product, n) => product * n, 1)
    return [0, Math.sqrt(6 / fanIn)]
  }
  return [0, 0.1]
}
