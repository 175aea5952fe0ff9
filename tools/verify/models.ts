import { readFile } from 'node:fs/promises'

import { uniforms } from '@deepfever/core'
import {
  STUDENT,
  TEACHER,
  describeNetwork,
  formulaWeights,
  studentNetwork,
  teacherNetwork,
  toOnnx,
  uniformTensor,
} from '@deepfever/models'
import { forward, loadParameters } from '@deepfever/models/tfjs'
import type { Network } from '@deepfever/models'
import { openBackend, tf } from '@deepfever/runtime'
import { openSession } from '@deepfever/runtime/onnx'

import { numberRow } from './row.ts'
import type { VerifyOptions, VerifyRow } from './row.ts'

/** Statistics of a tensor in a reference file. */
interface Statistics {
  readonly norm: number
  readonly absmax: number
  readonly first: readonly number[]
}

interface ModelReference {
  readonly params: number
  readonly taps: Readonly<Record<string, Statistics & { readonly shape: readonly number[] }>>
  readonly embedding: Statistics
}

/** A tensor in PyTorch layout. */
interface Found {
  readonly shape: readonly number[]
  readonly values: Float32Array
}

/** What a verification may be told, and what computes. */
export interface VerifyModelsOptions extends VerifyOptions {
  readonly engine: 'onnx' | 'tfjs'
}

const IMAGES = [2, 3, 140, 140] as const
const OUTPUTS = ['embedding', 'fec', 'affectnet', 'distill'] as const
const NETWORKS: Readonly<Record<string, { network: Network; taps: string }>> = {
  teacher256: { network: teacherNetwork(), taps: 'trunk' },
  teacher128: { network: teacherNetwork({ ...TEACHER, embedding: 128 }), taps: 'trunk' },
  student: { network: studentNetwork(STUDENT), taps: 'backbone.features' },
}

/**
 * Teachers and student in evaluation mode on formula weights, every tap and output held against
 * the reference `models.json`: norms within 1e-5, first values within 1e-4 of the largest.
 */
export async function* verifyModels(
  reference: string,
  { prefix = '', engine, only }: VerifyModelsOptions,
): AsyncGenerator<VerifyRow> {
  const wanted = JSON.parse(await readFile(reference, 'utf8')) as Record<string, ModelReference>
  if (engine === 'tfjs') await openBackend()
  yield* uniformRows(prefix, wanted)
  const run = engine === 'onnx' ? runOnnx : runTfjs
  for (const [name, { network, taps }] of Object.entries(NETWORKS)) {
    const model = wanted[name]
    if (model === undefined || (only && !only.split(',').includes(name))) continue
    yield numberRow(`${name}.params`, describeNetwork(network).count, model.params, 0)
    const tapNames = Object.keys(model.taps).map(tap => `${taps}.${tap}`)
    const found = await run(network, tapNames, prefix, `${prefix}${name}.`)
    for (const [tap, statistics] of Object.entries(model.taps)) {
      const value = found[`${taps}.${tap}`]!
      yield shapeRow(`${name}.${tap}.shape`, value.shape, statistics.shape)
      yield* statisticRows(`${name}.${tap}`, value.values, statistics)
    }
    for (const output of OUTPUTS) {
      const statistics = (model as unknown as Record<string, Statistics | undefined>)[output]
      if (statistics) yield* statisticRows(`${name}.${output}`, found[output]!.values, statistics)
    }
  }
}

/** The reference's own uniforms: a wrong generator makes every other row meaningless. */
function* uniformRows(prefix: string, reference: object): Generator<VerifyRow> {
  const { formula } = reference as { formula?: { uniform_first4: Record<string, number[]> } }
  for (const [name, wanted] of Object.entries(formula?.uniform_first4 ?? {}))
    for (const [i, found] of uniforms(prefix + name, wanted.length).entries())
      yield numberRow(`uniform ${name} ${i}`, found, wanted[i]!, 1e-9)
}

function shapeRow(name: string, found: readonly number[], wanted: readonly number[]): VerifyRow {
  const ok = String(found) === String(wanted)
  return {
    name,
    found: String(found),
    wanted: String(wanted),
    deviation: ok ? 0 : 1,
    tolerance: 0,
    ok,
  }
}

function* statisticRows(
  name: string,
  values: Float32Array,
  wanted: Statistics,
): Generator<VerifyRow> {
  const norm = Math.sqrt(values.reduce((sum, value) => sum + value * value, 0))
  yield numberRow(`${name}.norm`, norm, wanted.norm, 1e-5 * wanted.norm)
  const apart = wanted.first.map((value, i) => Math.abs(value - values[i]!))
  const worst = apart.indexOf(Math.max(...apart))
  const tolerance = 1e-4 * wanted.absmax
  yield numberRow(`${name}.first[${worst}]`, values[worst]!, wanted.first[worst]!, tolerance)
}

async function runOnnx(
  network: Network,
  taps: readonly string[],
  imagePrefix: string,
  prefix: string,
): Promise<Record<string, Found>> {
  const bytes = toOnnx(network, formulaWeights(network, prefix), { taps })
  const session = await openSession(bytes, { threads: 2 })
  const values = uniformTensor(`${imagePrefix}input`, IMAGES)
  const found = await session.run({ image: { shape: IMAGES, values } })
  await session.close()
  return found
}

async function runTfjs(
  network: Network,
  taps: readonly string[],
  imagePrefix: string,
  prefix: string,
): Promise<Record<string, Found>> {
  const parameters = loadParameters(network, formulaWeights(network, prefix))
  const tensors = tf.tidy(() => {
    const input = tf.tensor4d(uniformTensor(`${imagePrefix}input`, IMAGES), [...IMAGES])
    const images = tf.transpose(input, [0, 2, 3, 1]) as tf.Tensor4D
    const run = forward(network, images, parameters, { taps })
    const all = Object.entries({ ...run.outputs, ...run.taps })
    return Object.fromEntries(
      all.map(([name, x]) => [name, x.rank === 4 ? tf.transpose(x, [0, 3, 1, 2]) : x]),
    )
  })
  const found: Record<string, Found> = {}
  for (const [name, tensor] of Object.entries(tensors))
    found[name] = { shape: tensor.shape, values: (await tensor.data()) as Float32Array }
  tf.dispose([Object.values(tensors), [...parameters.values()]])
  return found
}
