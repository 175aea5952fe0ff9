import { ShapeError } from '@deepfever/core'
import type { StateDict, Tensor } from '@deepfever/formats'
import { describeNetwork, float32Tensor, floatsOf } from '@deepfever/models'
import { fromTfjsLayout, loadParameters, tfjsShape, toTfjsLayout } from '@deepfever/models/tfjs'
import type { Network } from '@deepfever/models'
import { tf } from '@deepfever/runtime'

import { trainingStep } from './step.ts'
import type { StepInputs, StepProgram, StepState, Tensors } from './step.ts'

/** A batch as plain numbers. Rows: three a triplet, then labelled faces, then faces with neither. */
export interface TrainingBatch {
  /** normalised, [rows, size, size, 3] */
  readonly images: Float32Array
  /** side of the square images in pixels */
  readonly size: number
  /** which image of each triplet differs, 0..2 */
  readonly odd: readonly number[]
  /** of each triplet */
  readonly margin: readonly number[]
  /** class number of each labelled face */
  readonly labels: readonly number[]
  /** teachers' vectors, [rows, width]; only distillation reads them */
  readonly targets?: Float32Array
  /** dropout's factors, 0 or 1 / (1 - rate), [rows, embedding]; no dropout when absent */
  readonly mask?: Float32Array
}

/** What one step reports. */
interface StepReport {
  /** unweighted losses by name */
  readonly losses: Readonly<Record<string, number>>
  /** their weighted sum */
  readonly total: number
  /** gradients asked for, PyTorch names and layout */
  readonly gradients: StateDict
}

/** A network being trained: it owns its tensors until closed. */
export interface Trainer {
  /** one update; `gradients` names parameters whose gradients are wanted */
  step(
    batch: TrainingBatch,
    learningRate: number,
    gradients?: readonly string[],
  ): Promise<StepReport>
  /** weights, running statistics and momentum, PyTorch names and layout */
  read(): Promise<{ weights: StateDict; velocity: StateDict }>
  close(): void
}

/** What a trainer computes and starts from. */
export interface TrainerOptions extends StepProgram {
  readonly weights: StateDict
  /** momentum of an interrupted run; zero when absent */
  readonly velocity?: StateDict
}

/**
 * Loads a network on the current backend and trains it step by step, each operation by itself.
 *
 * @throws ShapeError when a weight is missing or has another shape
 */
export function openTrainer({ weights, velocity, ...program }: TrainerOptions): Trainer {
  const { network } = program
  let state: StepState = {
    parameters: Object.fromEntries(loadParameters(network, weights)),
    velocity: loadVelocity(network, velocity),
  }
  return {
    async step(batch, learningRate, wanted = []) {
      const outputs = tf.tidy(() => {
        const step = trainingStep(program, state, toInputs(network, batch, learningRate))
        const gradients = Object.fromEntries(wanted.map(name => [name, step.gradients[name]!]))
        return { losses: step.losses, total: step.total, gradients, state: step.state }
      })
      disposeReplaced(state, outputs.state)
      state = outputs.state
      const { losses, total, gradients } = outputs
      const report = {
        losses: await readScalars(losses),
        total: (await total.data())[0]!,
        gradients: await readTensors(network, gradients),
      }
      tf.dispose([losses, total, gradients])
      return report
    },
    read: async () => ({
      weights: await readTensors(network, state.parameters),
      velocity: await readTensors(network, state.velocity),
    }),
    close: () => tf.dispose([state.parameters, state.velocity]),
  }
}

function toInputs(network: Network, batch: TrainingBatch, learningRate: number): StepInputs {
  const { images, size, targets, mask } = batch
  const rows = images.length / (3 * size * size)
  if (!Number.isInteger(rows))
    throw new ShapeError(
      `${network.name}: ${images.length} image values are not whole images of ${size} x ${size} x 3`,
      { found: images.length, wanted: 3 * size * size },
    )
  // Not one-hot as float32: the portable backend writes integers into it.
  const odd = tf.cast(tf.oneHot(tf.tensor1d([...batch.odd], 'int32'), 3), 'float32') as tf.Tensor2D
  return {
    images: tf.tensor4d(images, [rows, size, size, 3]),
    odd,
    margin: tf.tensor1d([...batch.margin], 'float32'),
    labels: tf.tensor1d([...batch.labels], 'int32'),
    learningRate: tf.scalar(learningRate),
    ...(targets && { targets: rowsOf(targets, rows) }),
    ...(mask && { mask: rowsOf(mask, rows) }),
  }
}

const rowsOf = (values: Float32Array, rows: number): tf.Tensor2D =>
  tf.tensor2d(values, [rows, values.length / rows])

function loadVelocity(network: Network, saved: StateDict | undefined): Tensors {
  const velocity: Record<string, tf.Tensor> = {}
  for (const parameter of describeNetwork(network).parameters) {
    if (!parameter.trainable) continue
    const { name } = parameter
    const tensor = saved?.get(name)
    if (saved !== undefined && `${tensor?.shape}` !== `${parameter.shape}`)
      throw new ShapeError(
        `${network.name}: the momentum of ${name} is ${tensor ? `[${tensor.shape}]` : 'missing'}, expected [${parameter.shape}]; resume from a checkpoint of this network`,
        { name, found: tensor?.shape, wanted: parameter.shape },
      )
    const shape = [...tfjsShape(parameter)]
    velocity[name] = tensor
      ? tf.tensor(toTfjsLayout(parameter, floatsOf(tensor)), shape)
      : tf.zeros(shape)
  }
  return velocity
}

async function readTensors(network: Network, tensors: Tensors): Promise<StateDict> {
  const state = new Map<string, Tensor>()
  for (const parameter of describeNetwork(network).parameters) {
    const tensor = tensors[parameter.name]
    if (tensor === undefined) continue
    const values = fromTfjsLayout(parameter, (await tensor.data()) as Float32Array)
    state.set(parameter.name, float32Tensor(parameter.shape, values))
  }
  return state
}

async function readScalars(scalars: Readonly<Record<string, tf.Scalar>>) {
  const numbers: Record<string, number> = {}
  for (const [name, scalar] of Object.entries(scalars)) numbers[name] = (await scalar.data())[0]!
  return numbers
}

function disposeReplaced(before: StepState, after: StepState): void {
  for (const part of ['parameters', 'velocity'] as const)
    for (const [name, tensor] of Object.entries(before[part]))
      if (after[part][name] !== tensor) tensor.dispose()
}
