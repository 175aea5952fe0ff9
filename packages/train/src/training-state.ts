import { ShapeError } from '@deepfever/core'
import type { StateDict, Tensor } from '@deepfever/formats'
import { describeNetwork, float32Tensor, floatsOf } from '@deepfever/models'
import type { Network } from '@deepfever/models'
import { fromTfjsLayout, toTfjsLayout } from '@deepfever/models/tfjs'

/**
 * The momentum of every trainable parameter in TensorFlow.js layout; zero without a saved one.
 *
 * @throws ShapeError when a saved one is missing or has another shape
 */
export function toVelocity(
  network: Network,
  saved: StateDict | undefined,
): Map<string, Float32Array> {
  const velocity = new Map<string, Float32Array>()
  for (const parameter of describeNetwork(network).parameters) {
    if (!parameter.trainable) continue
    const { name, shape } = parameter
    const tensor = saved?.get(name)
    if (saved !== undefined && `${tensor?.shape}` !== `${shape}`)
      throw new ShapeError(
        `${network.name}: the momentum of ${name} is ${tensor ? `[${tensor.shape}]` : 'missing'}, expected [${shape}]; resume from a checkpoint of this network`,
        { name, found: tensor?.shape, wanted: shape },
      )
    const size = shape.reduce((product, n) => product * n, 1)
    const values = tensor ? toTfjsLayout(parameter, floatsOf(tensor)) : new Float32Array(size)
    velocity.set(name, values)
  }
  return velocity
}

/** Values in TensorFlow.js layout as a state dict; parameters without values are left out. */
export function toStateDict(
  network: Network,
  valuesOf: (name: string) => Float32Array | undefined,
): StateDict {
  const state = new Map<string, Tensor>()
  for (const parameter of describeNetwork(network).parameters) {
    const values = valuesOf(parameter.name)
    if (values === undefined) continue
    const rearranged = fromTfjsLayout(parameter, values)
    state.set(parameter.name, float32Tensor(parameter.shape, rearranged))
  }
  return state
}
