import { ShapeError, UsageError } from '@deepfever/core'
import type { Loss, LossBatch } from '@deepfever/losses'
import { describeNetwork } from '@deepfever/models'
import { forward } from '@deepfever/models/tfjs'
import type { Network } from '@deepfever/models'
import type { TfjsKernels } from '@deepfever/models/tfjs'
import { tf } from '@deepfever/runtime'

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

/** One batch. Rows: three a triplet, then the labelled faces, then faces with neither. */
export interface StepInputs extends LossBatch {
  /** normalised, float32 [rows, height, width, 3] */
  readonly images: tf.Tensor4D
  /** dropout's factors, 0 or 1 / (1 - rate), float32 [rows, width]; no dropout when absent */
  readonly mask?: tf.Tensor2D
  readonly learningRate: tf.Scalar
}

/** What a step finds out; its maker disposes of all of it. */
export interface StepGradients {
  /** unweighted losses by name, and their weighted sum */
  readonly losses: Readonly<Record<string, tf.Scalar>>
  readonly total: tf.Scalar
  /** of the trainable parameters that the losses depend on */
  readonly gradients: Tensors
  /** running statistics after the batch */
  readonly statistics: Tensors
}

/**
 * The part of a training step that a network and its losses decide, as a pure function of tensors:
 * forward in training mode, losses, gradients, running statistics. Every engine runs this one. To
 * be called in `tf.tidy`; losses and statistics are kept against it.
 *
 * @param parameters weights and running statistics, TensorFlow.js layout
 * @throws ShapeError when the batch has fewer images than its triplets and labels need
 * @throws UsageError when a loss reads an output that the network lacks
 */
export function stepGradients(
  { network, losses, parts, kernels }: StepProgram,
  parameters: Tensors,
  inputs: StepInputs,
): StepGradients {
  requireRows(inputs)
  const names = trainableNames(network)
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

const trainableNames = (network: Network): string[] =>
  describeNetwork(network)
    .parameters.filter(parameter => parameter.trainable)
    .map(parameter => parameter.name)

function requireRows({ images, margin, labels }: StepInputs): void {
  const wanted = 3 * margin.shape[0] + labels.shape[0]
  if (images.shape[0] < wanted)
    throw new ShapeError(
      `training step: ${images.shape[0]} images, expected at least ${wanted} for ${margin.shape[0]} triplets and ${labels.shape[0]} labels`,
      { found: images.shape[0], wanted },
    )
}
