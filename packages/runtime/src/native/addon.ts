import { createRequire } from 'node:module'

import type { tf } from '../tensorflow.ts'

/** One attribute of a TensorFlow operation. */
export interface Attribute {
  readonly name: string
  readonly type: number
  readonly value: unknown
}

/** A tensor as the addon knows it. */
interface TensorMetadata {
  readonly id: number
  readonly shape: number[]
  readonly dtype: number
}

/** Values of a tensor in memory. */
export type TensorValues = Float32Array | Int32Array | Uint8Array

/** What the addon offers; every operation goes through `executeOp`. */
export interface Binding {
  createTensor(shape: readonly number[], dtype: number, values: TensorValues): number
  deleteTensor(id: number): void
  tensorDataSync(id: number): TensorValues
  executeOp(
    op: string,
    attributes: readonly Attribute[],
    inputs: readonly number[],
    outputs: number,
  ): TensorMetadata[]
  loadSavedModel(folder: string, tags: string): number
  deleteSavedModel(id: number): void
  /** names are joined by commas */
  runSavedModel(
    id: number,
    inputs: readonly number[],
    inputNames: string,
    outputNames: string,
  ): TensorMetadata[]
  /** only while a step is traced: what `f` adds runs after the tensor `id` is there */
  after?<T>(id: number, f: () => T): T
  getNumOfTensors(): number
  isUsingGpuDevice(): boolean
  readonly TF_FLOAT: number
  readonly TF_INT32: number
  readonly TF_BOOL: number
  readonly TF_STRING: number
  readonly TF_UINT8: number
  readonly TF_ATTR_TYPE: number
  readonly TF_ATTR_BOOL: number
  readonly TF_ATTR_STRING: number
  readonly TF_ATTR_SHAPE: number
  readonly TF_ATTR_INT: number
  readonly TF_ATTR_FLOAT: number
  readonly TF_Version: string
}

/** The kernel backend of tfjs-node, by the parts that are used here. */
export interface NativeKernels {
  binding: Binding
  readonly tensorMap: {
    get(dataId: object): { id: number; shape: number[]; dtype: number; values: unknown }
  }
  createOutputTensor(metadata: TensorMetadata): tf.Tensor
  getInputTensorIds(tensors: readonly tf.TensorInfo[]): number[]
  write(values: unknown, shape: number[], dtype: string): object
  executeMultipleOutputs(
    op: string,
    attributes: readonly Attribute[],
    inputs: readonly tf.Tensor[],
    outputs: number,
  ): tf.Tensor[]
}

/** The name under which tfjs-node registers itself. */
export const NATIVE_BACKEND = 'tensorflow'

/**
 * Loads the addon of @tensorflow/tfjs-node-gpu from `path` and registers its backend. Once in a
 * process; TensorFlow reads its variables at that moment.
 */
export function loadAddon(path: string): void {
  const require = createRequire(import.meta.url)
  // oneDNN: TensorFlow leaves it off on CPUs before AVX512-VNNI, where training is 1.7 times slower.
  process.env.TF_ENABLE_ONEDNN_OPTS ??= '1'
  process.env.TF_CPP_MIN_LOG_LEVEL ??= '2'
  // tfjs-node calls a function that Node 22 warns of and Node 23 dropped.
  const legacy = require('node:util') as { isNullOrUndefined: (value: unknown) => boolean }
  legacy.isNullOrUndefined = value => value === null || value === undefined
  // tfjs-node asks node-pre-gyp where its addon lies: inside node_modules. It is answered here.
  const inPackage = createRequire(require.resolve('@tensorflow/tfjs-node-gpu'))
  const locator = inPackage.resolve('@mapbox/node-pre-gyp')
  const known = require.cache[locator]
  require.cache[locator] = { exports: { find: () => path } } as NodeJS.Module
  try {
    require('@tensorflow/tfjs-node-gpu')
  } finally {
    if (known) require.cache[locator] = known
    else delete require.cache[locator]
  }
}
