import type { StateDict } from '@deepfever/formats'
import { kernelsOf } from '@deepfever/models/tfjs'
import type { Backend } from '@deepfever/runtime'

import type { TrainingBatch } from './batch-feeds.ts'
import { openCompiledTrainer } from './compiled-trainer.ts'
import { openEagerTrainer } from './eager-trainer.ts'
import type { StepProgram } from './step.ts'

/** What one step reports. */
interface StepReport {
  /** unweighted losses by name */
  readonly losses: Readonly<Record<string, number>>
  /** their weighted sum */
  readonly total: number
  /** those watched, PyTorch names and layout */
  readonly gradients: StateDict
}

/** A network being trained: it owns its tensors until closed. */
export interface Trainer {
  /** one update */
  step(batch: TrainingBatch, learningRate: number): Promise<StepReport>
  /**
   * Every output of the network in evaluation mode, by name: normalised images
   * [rows, size, size, 3], any number of rows.
   *
   * @throws StageError before a compiled trainer's first step, which decides its sizes
   */
  evaluate(images: Float32Array, size: number): Promise<Record<string, Float32Array>>
  /** weights, running statistics and momentum, PyTorch names and layout */
  read(): Promise<{ weights: StateDict; velocity: StateDict }>
  close(): void
}

/** What a trainer computes, where, and what it starts from. */
export interface TrainerOptions extends Omit<StepProgram, 'kernels'> {
  readonly backend: Backend
  /**
   * 'compiled': the step as one graph, on the native backend; 'eager': operation by operation,
   * anywhere. By itself: compiled on native, eager on portable.
   */
  readonly engine?: 'eager' | 'compiled'
  /** a compiled step computes the inputs of dense layers twice instead of keeping them */
  readonly recompute?: boolean
  readonly weights: StateDict
  /** momentum of an interrupted run; zero when absent */
  readonly velocity?: StateDict
  /** parameters whose gradients every step reports */
  readonly watched?: readonly string[]
}

/**
 * Loads a network on a backend and trains it step by step.
 *
 * @throws ShapeError when a weight or a momentum is missing or has another shape
 */
export function openTrainer(options: TrainerOptions): Trainer {
  const { backend, recompute = false } = options
  const { engine = backend.name === 'native' ? 'compiled' : 'eager' } = options
  const open = engine === 'compiled' ? openCompiledTrainer : openEagerTrainer
  return open({
    ...options,
    kernels: kernelsOf(backend, { recompute: recompute && engine === 'compiled' }),
  })
}
