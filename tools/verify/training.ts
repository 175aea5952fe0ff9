import { readFile } from 'node:fs/promises'

import { UsageError, uniforms } from '@deepfever/core'
import type { StateDict } from '@deepfever/formats'
import {
  crossEntropyLoss,
  rkdAngle,
  rkdAngleLoss,
  rkdDistance,
  rkdDistanceLoss,
  tripletLoss,
} from '@deepfever/losses'
import type { Loss } from '@deepfever/losses'
import { STUDENT, TEACHER, formulaWeights, studentNetwork, teacherNetwork } from '@deepfever/models'
import { dropoutMask } from '@deepfever/models/tfjs'
import type { Network } from '@deepfever/models'
import { openBackend, tf } from '@deepfever/runtime'
import { openTrainer } from '../../packages/train/src/trainer.ts'
import type { TrainingBatch } from '../../packages/train/src/batch-feeds.ts'
import type { TrainerOptions } from '../../packages/train/src/trainer.ts'
import type { VerifyOptions, VerifyRow } from './row.ts'

/** Where a step is computed: operation by operation on either backend, or as one graph. */
const ENGINES = ['portable', 'native', 'compiled'] as const
type Engine = (typeof ENGINES)[number]
const isEngine = (name: string): name is Engine => (ENGINES as readonly string[]).includes(name)

/** The part of a trainer's options that an engine decides. */
type EngineOptions = Required<Pick<TrainerOptions, 'backend' | 'engine'>>

const openEngine = async (engine: Engine): Promise<EngineOptions> => ({
  backend: await openBackend({ prefer: engine === 'portable' ? 'portable' : 'native' }),
  engine: engine === 'compiled' ? 'compiled' : 'eager',
})

interface Statistics {
  readonly norm: number
  readonly absmax: number
  readonly first: readonly number[]
}

interface Run {
  readonly config: {
    readonly images: number
    readonly size: number
    readonly input?: string
    readonly targets?: string
    readonly odd_zero_based: readonly number[]
    readonly margins: readonly number[]
    readonly affectnet_labels: readonly number[]
    readonly lr?: number
    readonly momentum: number
    readonly weights: Readonly<Record<string, number>>
    readonly forward?: string
    readonly dropout?: number
  }
  readonly steps: readonly (Readonly<Record<string, number>> & {
    readonly grads: Readonly<Record<string, Statistics>>
  })[]
  readonly after: Readonly<Record<string, Statistics>>
}

interface Duplicates {
  readonly rows: number
  readonly equal_teacher_rows: readonly [number, number]
  readonly distance: number
  readonly angle: number
  readonly grad_of_25d_plus_50a: Statistics
}

const BLOCKS = [32, 8, 32, 8]
const WIDTH = 80
const RUN_PATTERN = /^(teacher|student)_/

/**
 * Compares training steps with the reference implementation's: every run of `training.json`, or
 * `student_train` of `models.json`, by losses, gradients, weights and running statistics.
 *
 * @param reference path to the file; which of the two it is shows in its entries
 */
export async function verifyTraining(
  reference: string,
  { prefix = '', engine = 'portable', only }: VerifyOptions = {},
): Promise<AsyncIterable<VerifyRow>> {
  if (!isEngine(engine))
    throw new UsageError(`--engine: found ${engine}, wanted ${ENGINES.join(', ')}`, {
      found: engine,
    })
  const entries = JSON.parse(await readFile(reference, 'utf8')) as Record<string, unknown>
  return verifyEntries(entries, prefix, await openEngine(engine), only?.split(','))
}

async function* verifyEntries(
  entries: Readonly<Record<string, unknown>>,
  prefix: string,
  engine: EngineOptions,
  only: readonly string[] | undefined,
): AsyncGenerator<VerifyRow> {
  for (const [name, entry] of Object.entries(entries)) {
    if (only !== undefined && !only.includes(name)) continue
    if (name === 'rkd_duplicates') yield* verifyDuplicates(entry as Duplicates, prefix)
    else if (RUN_PATTERN.test(name)) yield* verifyRun(name, entry as Run, prefix, engine)
  }
}

async function* verifyRun(
  name: string,
  run: Run,
  prefix: string,
  engine: EngineOptions,
): AsyncGenerator<VerifyRow> {
  const { config, steps, after } = run
  const network = networkOf(name, config.size)
  const parts = config.forward?.match(/\[([\d, ]+)\]$/)?.[1]
  const trainer = openTrainer({
    ...engine,
    network,
    losses: lossesOf(config.weights),
    momentum: config.momentum,
    weights: formulaWeights(network, `${prefix}${network.name}.`),
    ...(parts && { parts: parts.split(',').map(Number) }),
    watched: Object.keys(steps[0]!.grads),
  })
  for (const [i, step] of steps.entries()) {
    const batch = batchOf(name, run, prefix, i)
    const found = await trainer.step(batch, step['lr'] ?? config.lr!)
    const place = `${name} step ${i + 1}`
    const first = i === 0
    for (const loss of ['triplet', 'cross_entropy', 'rkd_distance', 'rkd_angle']) {
      const wanted = step[loss]
      if (wanted === undefined) continue
      const value = found.losses[loss.replace('_', '-')]!
      yield relative(`${place} ${loss}`, value, wanted, first ? 1e-4 : 1e-1)
    }
    yield relative(`${place} total`, found.total, step['total']!, first ? 1e-4 : 1e-2)
    for (const [parameter, wanted] of Object.entries(step.grads)) {
      const { norm } = statisticsOf(found.gradients, parameter)
      yield relative(`${place} gradient ${parameter}`, norm, wanted.norm, first ? 1e-3 : 5e-2)
    }
  }
  const { weights } = await trainer.read()
  trainer.close()
  for (const [parameter, wanted] of Object.entries(after)) {
    const { norm } = statisticsOf(weights, parameter)
    const tolerance = /running_(mean|var)$/.test(parameter) ? 1e-3 : 1e-4
    yield relative(`${name} after ${parameter}`, norm, wanted.norm, tolerance)
  }
}

function verifyDuplicates(entry: Duplicates, prefix: string): VerifyRow[] {
  const count = entry.rows * WIDTH
  const [from, to] = entry.equal_teacher_rows
  const teachers = uniforms(`${prefix}duplicate_teacher`, count)
  teachers.copyWithin(to * WIDTH, from * WIDTH, (from + 1) * WIDTH)
  const teacher = tf.tensor2d(unitBlocks(teachers), [entry.rows, WIDTH])
  const student = tf.tensor2d(floats(`${prefix}duplicate_student`, count), [entry.rows, WIDTH])
  const gradient = tf.grad(x =>
    tf.add(
      tf.mul(rkdDistance(x as tf.Tensor2D, teacher), 25),
      tf.mul(rkdAngle(x as tf.Tensor2D, teacher), 50),
    ),
  )(student)
  const found = statistics(gradient.dataSync() as Float32Array)
  const wanted = entry.grad_of_25d_plus_50a
  const value = (loss: tf.Scalar) => loss.dataSync()[0]!
  const name = 'rkd_duplicates'
  return [
    relative(`${name} distance`, value(rkdDistance(student, teacher)), entry.distance, 1e-4),
    relative(`${name} angle`, value(rkdAngle(student, teacher)), entry.angle, 1e-4),
    relative(`${name} gradient norm`, found.norm, wanted.norm, 1e-3),
    ...wanted.first.map((v, i) => {
      const deviation = Math.abs(found.first[i]! - v) / wanted.absmax
      return row(`${name} gradient [${i}]`, found.first[i]!, v, deviation, 1e-3)
    }),
  ]
}

const networkOf = (name: string, size: number): Network =>
  name.startsWith('teacher')
    ? teacherNetwork({ ...TEACHER, size })
    : studentNetwork({ ...STUDENT, size })

function lossesOf(weights: Readonly<Record<string, number>>): Loss[] {
  const losses = [
    tripletLoss({ head: 'fec', weight: 1 }),
    crossEntropyLoss({ head: 'affectnet', weight: weights['affectnet']! }),
  ]
  if (weights['rkd_distance'])
    losses.push(
      rkdDistanceLoss({ head: 'distill', weight: weights['rkd_distance'] }),
      rkdAngleLoss({ head: 'distill', weight: weights['rkd_angle']! }),
    )
  return losses
}

function batchOf(name: string, { config }: Run, prefix: string, step: number): TrainingBatch {
  const { images, size, dropout = 0 } = config
  const targets = name.startsWith('student') ? (config.targets ?? 'train_targets') : undefined
  return {
    images: pixelsLast(
      floats(prefix + (config.input ?? 'train_input'), images * 3 * size ** 2),
      size,
    ),
    size,
    odd: config.odd_zero_based,
    margin: config.margins,
    labels: config.affectnet_labels,
    ...(targets && { targets: unitBlocks(uniforms(prefix + targets, images * WIDTH)) }),
    ...(dropout > 0 && {
      mask: dropoutMask(
        floats(`${prefix}${name}_dropout_${step}`, images * 256).map(u => (u + 1) / 2),
        dropout,
      ),
    }),
  }
}

/** [n, 3, size, size] as [n, size, size, 3]. */
function pixelsLast(values: Float32Array, size: number): Float32Array {
  const area = size * size
  return values.map((_, i) => {
    const [image, pixel, channel] = [Math.floor(i / (3 * area)), Math.floor(i / 3) % area, i % 3]
    return values[(image * 3 + channel) * area + pixel]!
  })
}

/** Rows whose parts 32, 8, 32, 8 are divided by their lengths. */
function unitBlocks(rows: Float64Array): Float32Array {
  const values = Float32Array.from(rows)
  for (let at = 0, block = 0; at < values.length; at += BLOCKS[block++ % 4]!) {
    const part = values.subarray(at, at + BLOCKS[block % 4]!)
    const norm = Math.hypot(...part)
    part.forEach((v, i) => (part[i] = v / norm))
  }
  return values
}

const floats = (name: string, count: number): Float32Array =>
  Float32Array.from(uniforms(name, count))

const statisticsOf = (state: StateDict, name: string): Statistics =>
  statistics(state.get(name)!.values as Float32Array)

function statistics(values: Float32Array): Statistics {
  let squares = 0
  let absmax = 0
  for (const v of values) {
    squares += v * v
    absmax = Math.max(absmax, Math.abs(v))
  }
  return { norm: Math.sqrt(squares), absmax, first: Array.from(values.subarray(0, 8)) }
}

const relative = (name: string, found: number, wanted: number, tolerance: number) =>
  row(
    name,
    found,
    wanted,
    found === wanted ? 0 : Math.abs(found - wanted) / Math.abs(wanted),
    tolerance,
  )

const row = (
  name: string,
  found: number,
  wanted: number,
  deviation: number,
  tolerance: number,
): VerifyRow => ({ name, found, wanted, deviation, tolerance, ok: deviation <= tolerance })
