import { openRandom } from '@deepfever/core'
import type { StateDict, Tensor } from '@deepfever/formats'

import type { Network } from './network.ts'
import { describeNetwork } from './shapes.ts'
import type { Parameter } from './shapes.ts'
import type { Shape } from './ops.ts'
import { float32Tensor } from './state.ts'

const PRELU_START = 0.25

/**
 * Fresh weights of a network: each tensor is a function of the seed and its own name, so a change
 * in one part leaves the others as they were. Convolutions as `network.starts` says; dense layers
 * uniform within 1 / sqrt(fan in) with bias 0; batch normalisation 1 and 0.
 */
export function initialise(network: Network, seed: string | number): StateDict {
  const { parameters } = describeNetwork(network)
  const shapes = new Map(parameters.map(({ name, shape }) => [name, shape]))
  const state = new Map<string, Tensor>()
  for (const parameter of parameters) {
    const draw = drawOf(network, parameter, shapes, `${seed}/${parameter.name}`)
    const values = new Float32Array(parameter.shape.reduce((product, n) => product * n, 1))
    for (let i = 0; i < values.length; i++) values[i] = draw()
    state.set(parameter.name, float32Tensor(parameter.shape, values))
  }
  return state
}

function drawOf(
  network: Network,
  { name, shape, kind }: Parameter,
  shapes: ReadonlyMap<string, Shape>,
  stream: string,
): () => number {
  const random = openRandom(stream)
  const uniform = (bound: number) => () => (2 * random.next() - 1) * bound
  const normal = (fan: number) => () => random.normal() * Math.sqrt(2 / fan)
  const start = network.starts?.[name.slice(0, name.indexOf('.'))] ?? 'fan-in'
  switch (kind) {
    case 'conv-weight':
    case 'depthwise-weight':
      if (start === 'uniform') return uniform(1 / Math.sqrt(fanIn(shape)))
      return normal(start === 'fan-in' ? fanIn(shape) : shape[0]! * shape[2]! * shape[3]!)
    case 'dense-weight':
      return uniform(1 / Math.sqrt(fanIn(shape)))
    case 'bias': {
      const weight = shapes.get(name.replace(/bias$/, 'weight'))!
      return start === 'uniform' ? uniform(1 / Math.sqrt(fanIn(weight))) : () => 0
    }
    case 'norm-weight':
    case 'running-variance':
      return () => 1
    case 'norm-bias':
    case 'running-mean':
      return () => 0
    case 'prelu-weight':
      return () => PRELU_START
  }
}

const fanIn = (shape: Shape): number => shape.slice(1).reduce((product, n) => product * n, 1)
