import { ShapeError, UsageError } from '@deepfever/core'
import type { Loss, LossBatch } from '@deepfever/losses'
import { describeNetwork } from '@deepfever/models'
import { forward } from '@deepfever/models/tfjs'
import type { Network } from '@deepfever/models'
import type { TfjsKernels } from '@deepfever/models/tfjs'
import { tf } from '@deepfever/runtime'

import { nesterov } from './sgd.ts'

/** Tensors by name; a plain object, because `tf.tidy` keeps what it can walk. */
export type Tensors = Readonly<Record<string, tf.Tensor>>

/** What a training step computes; everything that changes from step to step is an input. */
export interface StepProgram {
  readonly network: Network
  /** summed by their weights; one of weight 0 is not computed */
  readonly losses: readonly Loss[]
  /** Nesterov's */
  readonly momentum: number
  /** rows of each batch-norm batch, in order; one joint batch when absent */
  readonly parts?: readonly number[]
  /** operations that the backend does better than the portable compositions */
  readonly kernels?: Partial<TfjsKernels>
}

/** What a step reads and replaces, in TensorFlow.js layout. */
export type StepState = {
  /** weights and running statistics */
  readonly parameters: Tensors
  /** of the trainable parameters */
  readonly velocity: Tensors
}

/** One batch. Rows: three a triplet, then the labelled faces, then faces with neither. */
export interface StepInputs extends LossBatch {
  /** normalised, float32 [rows, height, width, 3] */
  readonly images: tf.Tensor4D
  /** dropout's factors, 0 or 1 / (1 - rate), float32 [rows, width]; no dropout when absent */
  readonly mask?: tf.Tensor2D
  readonly learningRate: tf.Scalar
}

/** What a step gives. */
export type StepOutputs = {
  /** unweighted losses by name, and their weighted sum */
  readonly losses: Readonly<Record<string, tf.Scalar>>
  readonly total: tf.Scalar
  /** of the trainable parameters that the losses depend on */
  readonly gradients: Tensors
  readonly state: StepState
}

/**
 * One training step as a pure function of tensors: forward in training mode, losses, gradients,
 * Nesterov's update, running statistics. To be called in `tf.tidy`.
 *
 * @throws ShapeError when the batch has fewer images than its triplets and labels need
 * @throws UsageError when a loss reads an output that the network lacks
 */
export function trainingStep(
  program: StepProgram,
  state: StepState,
  inputs: StepInputs,
): StepOutputs {
  requireRows(inputs)
  const names = trainableNames(program.network)
  const { losses, total, gradients, statistics } = differentiate(program, state, inputs, names)
  const parameters: Record<string, tf.Tensor> = { ...state.parameters, ...statistics }
  const velocity: Record<string, tf.Tensor> = { ...state.velocity }
  for (const [name, gradient] of Object.entries(gradients)) {
    const kept = { parameter: parameters[name]!, velocity: velocity[name]! }
    const next = nesterov(kept, gradient, inputs.learningRate, program.momentum)
    parameters[name] = next.parameter
    velocity[name] = next.velocity
  }
  return { losses, total, gradients, state: { parameters, velocity } }
}

const trainableNames = (network: Network): string[] =>
  describeNetwork(network)
    .parameters.filter(parameter => parameter.trainable)
    .map(parameter => parameter.name)

function differentiate(
  { network, losses, parts, kernels }: StepProgram,
  { parameters }: StepState,
  inputs: StepInputs,
  names: readonly string[],
) {
  const values: Record<string, tf.Scalar> = {}
  let statistics: Tensors = {}
  const loss = () => {
    const run = forward(network, inputs.images, new Map(Object.entries(parameters)), {
      training: true,
      ...(parts && { parts }),
      ...(inputs.mask && { mask: inputs.mask }),
      ...(kernels && { kernels }),
    })
    const weighted = losses
      .filter(({ weight }) => weight !== 0)
      .map(({ name, head, weight, value }) => {
        const output = run.outputs[head]
        if (output === undefined)
          throw new UsageError(
            `${name}: ${network.name} has no output ${head}, it has ${network.outputs.join(', ')}; set the loss's weight to 0 or add the head`,
            { loss: name, found: network.outputs, wanted: head },
          )
        values[name] = tf.keep(value(output as tf.Tensor2D, inputs))
        return tf.mul<tf.Scalar>(values[name], weight)
      })
    statistics = Object.fromEntries([...run.statistics].map(([name, s]) => [name, tf.keep(s)]))
    return tf.addN<tf.Scalar>(weighted)
  }
  // Not tf.valueAndGrads: it refuses a parameter that no loss depends on.
  const { value: total, grads } = tf.engine().gradients(
    loss,
    names.map(name => parameters[name]!),
  )
  const gradients: Record<string, tf.Tensor> = {}
  names.forEach((name, i) => {
    if (grads[i]) gradients[name] = grads[i]
  })
  return { losses: values, total, gradients, statistics }
}

function requireRows({ images, margin, labels }: StepInputs): void {
  const wanted = 3 * margin.shape[0] + labels.shape[0]
  if (images.shape[0] < wanted)
    throw new ShapeError(
      `training step: ${images.shape[0]} images, expected at least ${wanted} for ${margin.shape[0]} triplets and ${labels.shape[0]} labels`,
      { found: images.shape[0], wanted },
    )
}
