import { StageError } from '@deepfever/core'
import { describeNetwork } from '@deepfever/models'
import { forward, tfjsShape, toTfjsValues } from '@deepfever/models/tfjs'
import { MOMENTUM, compileStep, type CompiledStep, type Program, type tf } from '@deepfever/runtime'

import { toFeeds, type Feed } from './batch-feeds.ts'
import { stepGradients, type StepInputs, type StepProgram } from './step.ts'
import type { Trainer, TrainerOptions } from './trainer.ts'
import { toStateDict, toVelocity } from './training-state.ts'

/** A trainer that computes a step as one graph; the first batch decides the sizes of its inputs. */
export function openCompiledTrainer({
  backend,
  weights,
  velocity,
  watched = [],
  ...program
}: TrainerOptions & StepProgram): Trainer {
  const { network } = program
  const { parameters } = describeNetwork(network)
  const shapes = Object.fromEntries(parameters.map(p => [p.name, tfjsShape(p)]))
  const start = toTfjsValues(network, weights)
  const slots = toVelocity(network, velocity)
  let step: CompiledStep | undefined
  let batchRows = 0

  const open = (feeds: Readonly<Record<string, Feed>>): CompiledStep => {
    const programs = {
      train: toTraining(program, watched, feeds),
      evaluate: toEvaluation(program, feeds.images!),
    }
    const compiled = compileStep(backend, programs, shapes)
    batchRows = feeds.images!.shape[0]!
    compiled.load({
      ...Object.fromEntries(start),
      ...Object.fromEntries([...slots].map(([name, values]) => [`${MOMENTUM}${name}`, values])),
    })
    return compiled
  }

  return {
    step(batch, learningRate) {
      const feeds = toFeeds(network, batch, learningRate)
      step ??= open(feeds)
      const values = Object.fromEntries(Object.entries(feeds).map(([name, f]) => [name, f.values]))
      const found = step.run('train', values)
      const losses = program.losses.filter(({ weight }) => weight !== 0)
      return Promise.resolve({
        losses: Object.fromEntries(losses.map(({ name }) => [name, found[LOSS + name]![0]!])),
        total: found.total![0]!,
        gradients: toStateDict(network, name => found[GRADIENT + name] as Float32Array | undefined),
      })
    },
    evaluate(images, size) {
      if (step === undefined)
        throw new StageError(
          `${network.name}: evaluated before its first step, which decides the sizes of the graph`,
        )
      return Promise.resolve(inBatches(step, images, batchRows * 3 * size * size))
    },
    read() {
      const state = step?.read() ?? {}
      // Before the first step, and for parameters that no loss reaches, what was loaded stands.
      return Promise.resolve({
        weights: toStateDict(network, name => state[name] ?? start.get(name)),
        velocity: toStateDict(network, name => state[`${MOMENTUM}${name}`] ?? slots.get(name)),
      })
    },
    close: () => step?.close(),
  }
}

const LOSS = 'loss/'
const GRADIENT = 'gradient/'

const toTraining = (
  program: StepProgram,
  watched: readonly string[],
  feeds: Readonly<Record<string, Feed>>,
): Program => ({
  inputs: feeds,
  step(inputs, parameters) {
    const { learningRate, ...batch } = inputs as unknown as StepInputs
    const found = stepGradients(program, parameters, { ...batch, learningRate })
    const prefixed = <T>(prefix: string, values: Readonly<Record<string, T>>) =>
      Object.entries(values).map(([name, value]) => [prefix + name, value] as const)
    const seen = Object.fromEntries(watched.map(name => [name, found.gradients[name]!]))
    return {
      outputs: Object.fromEntries([
        ...prefixed(LOSS, found.losses),
        ['total', found.total],
        ...prefixed(GRADIENT, seen),
      ]),
      assign: found.statistics,
      descend: { gradients: found.gradients, rate: learningRate, momentum: program.momentum },
    }
  },
})

const toEvaluation = ({ network, kernels = {} }: StepProgram, images: Feed): Program => ({
  inputs: { images },
  step({ images: pixels }, parameters) {
    const values = new Map(Object.entries(parameters))
    return { outputs: forward(network, pixels as tf.Tensor4D, values, { kernels }).outputs }
  },
})

/** Evaluates batch by batch; the last one is filled up, and what fills it is left out again. */
function inBatches(
  step: CompiledStep,
  images: Float32Array,
  batchSize: number,
): Record<string, Float32Array> {
  const outputs: Record<string, Float32Array> = {}
  for (let at = 0; at < images.length; at += batchSize) {
    const given = images.subarray(at, at + batchSize)
    const batch = new Float32Array(batchSize)
    batch.set(given)
    for (const [name, values] of Object.entries(step.run('evaluate', { images: batch }))) {
      outputs[name] ??= new Float32Array((images.length / batchSize) * values.length)
      const kept = values.subarray(0, (given.length / batchSize) * values.length) as Float32Array
      outputs[name].set(kept, (at / batchSize) * values.length)
    }
  }
  return outputs
}
