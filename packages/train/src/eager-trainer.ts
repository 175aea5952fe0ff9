import type { StateDict } from '@deepfever/formats'
import { describeNetwork } from '@deepfever/models'
import type { Network } from '@deepfever/models'
import { forward, loadParameters, tfjsShape } from '@deepfever/models/tfjs'
import { tf } from '@deepfever/runtime'

import { toFeeds, type Feed } from './batch-feeds.ts'
import { nesterov } from './sgd.ts'
import { stepGradients, type StepInputs, type StepProgram, type Tensors } from './step.ts'
import type { Trainer, TrainerOptions } from './trainer.ts'
import { toStateDict, toVelocity } from './training-state.ts'

/** What a step replaces, in TensorFlow.js layout. */
interface State {
  /** weights and running statistics */
  readonly parameters: Tensors
  /** of the trainable parameters */
  readonly velocity: Tensors
}

/** A trainer that computes each operation by itself, on the current backend. */
export function openEagerTrainer({
  weights,
  velocity,
  watched = [],
  ...program
}: TrainerOptions & StepProgram): Trainer {
  const { network } = program
  let state: State = {
    parameters: Object.fromEntries(loadParameters(network, weights)),
    velocity: loadVelocity(network, velocity),
  }
  return {
    async step(batch, learningRate) {
      const feeds = toFeeds(network, batch, learningRate)
      const { next, losses, total, gradients } = tf.tidy(() => {
        const inputs = toTensors(feeds)
        const step = stepGradients(program, state.parameters, inputs)
        const seen = Object.fromEntries(watched.map(name => [name, step.gradients[name]!]))
        const updated = descend(program.momentum, state, step, inputs.learningRate)
        return { next: updated, losses: step.losses, total: step.total, gradients: seen }
      })
      disposeReplaced(state, next)
      state = next
      const report = {
        losses: await readScalars(losses),
        total: (await total.data())[0]!,
        gradients: await readTensors(network, gradients),
      }
      tf.dispose([losses, total, gradients])
      return report
    },
    async evaluate(images, size) {
      const outputs = tf.tidy(() => {
        const pixels = tf.tensor4d(images, [images.length / (3 * size * size), size, size, 3])
        const parameters = new Map(Object.entries(state.parameters))
        return forward(network, pixels, parameters, { kernels: program.kernels ?? {} }).outputs
      })
      const values: Record<string, Float32Array> = {}
      for (const [name, tensor] of Object.entries(outputs))
        values[name] = (await tensor.data()) as Float32Array
      tf.dispose(outputs)
      return values
    },
    read: async () => ({
      weights: await readTensors(network, state.parameters),
      velocity: await readTensors(network, state.velocity),
    }),
    close: () => tf.dispose([state.parameters, state.velocity]),
  }
}

/** Nesterov's update of every parameter that has a gradient, and the new running statistics. */
function descend(
  momentum: number,
  state: State,
  { gradients, statistics }: ReturnType<typeof stepGradients>,
  rate: tf.Scalar,
) {
  const parameters: Record<string, tf.Tensor> = { ...state.parameters, ...statistics }
  const velocity: Record<string, tf.Tensor> = { ...state.velocity }
  for (const [name, gradient] of Object.entries(gradients)) {
    const kept = { parameter: parameters[name]!, velocity: velocity[name]! }
    const next = nesterov(kept, gradient, rate, momentum)
    parameters[name] = next.parameter
    velocity[name] = next.velocity
  }
  return { parameters, velocity }
}

const toTensors = (feeds: Readonly<Record<string, Feed>>): StepInputs =>
  Object.fromEntries(
    Object.entries(feeds).map(([name, { values, shape, dtype }]) => [
      name,
      tf.tensor(values, [...shape], dtype),
    ]),
  ) as unknown as StepInputs

function loadVelocity(network: Network, saved: StateDict | undefined): Tensors {
  const values = toVelocity(network, saved)
  return Object.fromEntries(
    describeNetwork(network)
      .parameters.filter(({ trainable }) => trainable)
      .map(parameter => [
        parameter.name,
        tf.tensor(values.get(parameter.name)!, [...tfjsShape(parameter)]),
      ]),
  )
}

async function readTensors(network: Network, tensors: Tensors): Promise<StateDict> {
  const values = new Map<string, Float32Array>()
  for (const [name, tensor] of Object.entries(tensors))
    values.set(name, (await tensor.data()) as Float32Array)
  return toStateDict(network, name => values.get(name))
}

async function readScalars(scalars: Readonly<Record<string, tf.Scalar>>) {
  const numbers: Record<string, number> = {}
  for (const [name, scalar] of Object.entries(scalars)) numbers[name] = (await scalar.data())[0]!
  return numbers
}

function disposeReplaced(before: State, after: State): void {
  for (const part of ['parameters', 'velocity'] as const)
    for (const [name, tensor] of Object.entries(before[part]))
      if (after[part][name] !== tensor) tensor.dispose()
}
