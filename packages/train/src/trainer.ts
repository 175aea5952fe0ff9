import { ShapeError } from '@deepfever/core'
import type { StateDict, Tensor } from '@deepfever/formats'
import {
  describeNetwork,
  dropoutMask,
  float32Tensor,
  floatsOf,
  fromTfjsLayout,
  loadParameters,
  tfjsShape,
  toTfjsLayout,
} from '@deepfever/models'
import type { Network } from '@deepfever/models'
import { tf } from '@deepfever/runtime'

import { trainingStep } from './step.ts'
import type { StepInputs, StepProgram, StepState, Tensors } from './step.ts'

/** A batch as plain numbers. Rows: three a triplet, then labelled faces, then faces with neither. */
export interface TrainingBatch {
  /** normalised, [rows, height, width, 3] of the network's size */
  readonly images: Float32Array
  /** rows of each data set, in order; read where each is a batch-norm batch of its own */
  readonly parts?: readonly number[]
  /** which image of each triplet differs, 0..2 */
  readonly odd: Int32Array
  /** of each triplet */
  readonly margins: Float32Array
  /** class number of each labelled face */
  readonly labels: Int32Array
  /** teachers' vectors, [rows, width]; only distillation reads them */
  readonly targets?: Float32Array | undefined
  /** uniform in [0, 1), [rows, embedding]: kept where >= the dropout rate; absent: no dropout */
  readonly dropout?: Float32Array | undefined
}

/** What one step reports. */
export interface StepReport {
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
export interface TrainerOptions extends Omit<StepProgram, 'parts'> {
  /** one batch-norm batch a step, or one a data set */
  readonly batchNormBatches: 'joint' | 'per-dataset'
  /** rate in [0, 1) */
  readonly dropout: number
  readonly weights: StateDict
  /** momentum of an interrupted run; zero when absent */
  readonly velocity?: StateDict
}

/**
 * Loads a network on the current backend and trains it step by step, each operation by itself.
 *
 * @throws ShapeError when a weight is missing or has another shape
 */
export function openTrainer(options: TrainerOptions): Trainer {
  const { network, dropout, batchNormBatches } = options
  let state: StepState = {
    parameters: Object.fromEntries(loadParameters(network, options.weights)),
    velocity: loadVelocity(network, options.velocity),
  }
  const programOf = ({ parts }: TrainingBatch): StepProgram =>
    batchNormBatches === 'joint' || parts === undefined
      ? options
      : { ...options, parts: parts.filter(rows => rows > 0) }

  return {
    async step(batch, learningRate, wanted = []) {
      const outputs = tf.tidy(() => {
        const inputs = toInputs(network, batch, dropout, learningRate)
        const step = trainingStep(programOf(batch), state, inputs)
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

function toInputs(
  network: Network,
  batch: TrainingBatch,
  rate: number,
  learningRate: number,
): StepInputs {
  const [channels, height, width] = network.input as [number, number, number]
  const rows = batch.images.length / (channels * height * width)
  if (!Number.isInteger(rows))
    throw new ShapeError(
      `${network.name}: ${batch.images.length} image values are not whole images of ${height} x ${width} x ${channels}`,
      { found: batch.images.length, wanted: network.input },
    )
  const odd = tf.cast(tf.oneHot(tf.tensor1d(batch.odd, 'int32'), 3), 'float32') as tf.Tensor2D
  return {
    images: tf.tensor4d(batch.images, [rows, height, width, channels]),
    odd,
    margin: tf.tensor1d(batch.margins, 'float32'),
    labels: tf.tensor1d(batch.labels, 'int32'),
    learningRate: tf.scalar(learningRate),
    ...(batch.targets && { targets: rowsOf(batch.targets, rows) }),
    ...(batch.dropout && rate > 0 && { mask: rowsOf(dropoutMask(batch.dropout, rate), rows) }),
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
