import { UsageError } from '@deepfever/core'

import type { Attribute, Binding, NativeKernels, TensorValues } from '../native/addon.ts'
import type { tf } from '../tensorflow.ts'
import { DTYPES, attribute, type Dtype, type Graph, type Port } from './graph.ts'
import { shapeRules, type Known } from './shape-rules.ts'
import type { Message } from '../protobuf.ts'

/** Tensors by name. */
export type NamedTensors = Readonly<Record<string, tf.Tensor>>

/** Larger arrays of numbers made in JavaScript should have been inputs. */
const LARGEST_CONSTANT: Readonly<Record<number, number>> = {
  [DTYPES.float32]: 16,
  [DTYPES.int32]: 64,
  [DTYPES.bool]: 16,
}
/** Values are remembered for shape rules up to this length. */
const LARGEST_KNOWN = 64

const ARRAYS: Readonly<Record<number, { from(values: ArrayLike<number>): TensorValues }>> = {
  [DTYPES.float32]: Float32Array,
  [DTYPES.int32]: Int32Array,
  [DTYPES.bool]: Uint8Array,
}

interface Value extends Known, Port {
  /** the gate that it was computed behind */
  readonly gate?: string | undefined
}

/** The element type of a tensor, as the graph counts. */
export const dtypeOf = (tensor: tf.Tensor): number => DTYPES[tensor.dtype as Dtype]

/** A trace of one call: abstract tensors that stand for ports of a graph. */
export interface Trace {
  /** a tensor that stands for `port` */
  source(port: Port): tf.Tensor
  /** the port that a traced tensor stands for */
  portOf(tensor: tf.Tensor): Port
}

/**
 * Runs `f` with every TensorFlow operation recorded in `graph` instead of computed. Nothing is
 * allocated: tensors have shapes and no values.
 *
 * @throws UsageError when a value is read, or a number array or tensor from outside is used
 * @throws ShapeError when shapes do not fit
 */
export function trace<T>(kernels: NativeKernels, graph: Graph, f: (trace: Trace) => T): T {
  const { binding } = kernels
  const recorder = createRecorder(kernels, graph)
  const written = new WeakSet<object>()
  const { write, getInputTensorIds } = kernels
  kernels.binding = withRecorder(binding, recorder)
  kernels.write = (...args) => {
    const dataId = write.apply(kernels, args)
    written.add(dataId)
    return dataId
  }
  kernels.getInputTensorIds = tensors => {
    for (const { dataId, shape } of tensors) {
      const held = kernels.tensorMap.get(dataId)
      if (held.values !== null && held.values !== undefined && !written.has(dataId))
        throw new UsageError(
          `compiled step: a tensor [${shape}] made before the trace is used in it; pass it as an input or a variable`,
          { shape },
        )
    }
    return getInputTensorIds.call(kernels, tensors)
  }
  try {
    return f(recorder)
  } finally {
    kernels.binding = binding
    kernels.write = write
    kernels.getInputTensorIds = getInputTensorIds
  }
}

interface Recorder extends Trace, Pick<Binding, 'createTensor' | 'executeOp' | 'tensorDataSync'> {
  after<T>(id: number, f: () => T): T
}

function createRecorder(kernels: NativeKernels, graph: Graph): Recorder {
  const values = new Map<number, Value>()
  const encode = encoderOf(kernels.binding)
  // Nodes that must run before what is being added: recomputation would otherwise start with, or be
  // merged with, the forward pass.
  const gates: string[] = []
  // Abstract ids are negative: TensorFlow.js never asks the addon to delete those.
  let next = -2
  const add = (value: Value): number => {
    values.set(next, value)
    return next--
  }
  const idOf = (tensor: tf.Tensor): number => {
    kernels.getInputTensorIds([tensor])
    return kernels.tensorMap.get(tensor.dataId).id
  }
  return {
    source(port) {
      const shape = [...port.shape]
      return kernels.createOutputTensor({ id: add({ ...port, shape }), dtype: port.dtype, shape })
    },
    portOf(tensor) {
      const value = values.get(idOf(tensor))
      if (value === undefined)
        throw new UsageError(
          `compiled step: a result [${tensor.shape}] was made outside the trace`,
          {
            shape: tensor.shape,
          },
        )
      return value
    },
    createTensor(shape, dtype, given) {
      const array = ARRAYS[dtype]!.from(given)
      // TensorFlow.js's own gradients make arrays of ones and zeros: they take no room in the file.
      const uniform = array.length > 1 && array.every(value => value === array[0])
      if (!uniform && array.length > LARGEST_CONSTANT[dtype]!)
        throw new UsageError(
          `compiled step: ${array.length} numbers [${shape}] made in JavaScript would be frozen into the graph; pass them as an input`,
          { shape },
        )
      const ref = uniform
        ? graph.fill(dtype, shape, array.slice(0, 1))
        : graph.constant(dtype, shape, array)
      const known = array.length <= LARGEST_KNOWN ? array : undefined
      return add({ ref, dtype, shape, values: known })
    },
    executeOp(op, attributes, ids, count) {
      const inputs = ids.map(id => {
        const value = values.get(id)
        if (value === undefined)
          throw new UsageError(
            `compiled step: ${op} reads a tensor made outside the trace; pass it as an input or a variable`,
            { op },
          )
        return value
      })
      const rule = shapeRules[op]
      if (rule === undefined)
        throw new UsageError(
          `compiled step: the operation ${op} has no shape rule; add one to runtime's shape-rules.ts`,
          { op },
        )
      const settings = Object.fromEntries(attributes.map(({ name, value }) => [name, value]))
      const outputs = rule(inputs, settings)
      const gate = gates.at(-1)
      const isBehind = gate === undefined || inputs.some(value => value.gate === gate)
      const node = graph.node(
        op,
        [...inputs.map(({ ref }) => ref), ...(isBehind ? [] : [`^${gate}`])],
        Object.fromEntries(attributes.map(item => [item.name, encode(item)])),
      )
      return outputs.slice(0, count).map(({ shape, dtype }, i) => {
        const id = add({ ref: i === 0 ? node : `${node}:${i}`, dtype, shape, gate })
        return { id, shape: [...shape], dtype }
      })
    },
    after(id, f) {
      gates.push(values.get(id)!.ref.replace(/:\d+$/, ''))
      try {
        return f()
      } finally {
        gates.pop()
      }
    },
    tensorDataSync() {
      throw new UsageError(
        'compiled step: a traced tensor was read (data, dataSync, array, print); its value does not exist while the step is traced',
      )
    },
  }
}

/** Attributes as messages of the graph. */
function encoderOf(binding: Binding): (attribute: Attribute) => Message {
  const encoders: Record<number, (value: never) => Message> = {
    [binding.TF_ATTR_TYPE]: attribute.type,
    [binding.TF_ATTR_BOOL]: (value: unknown) => attribute.bool(Boolean(value)),
    [binding.TF_ATTR_STRING]: attribute.text,
    [binding.TF_ATTR_SHAPE]: attribute.shape,
    [binding.TF_ATTR_INT]: (value: number | number[]) =>
      Array.isArray(value) ? attribute.wholes(value) : attribute.whole(value),
    [binding.TF_ATTR_FLOAT]: (value: number | number[]) =>
      Array.isArray(value) ? attribute.floats(value) : attribute.float(value),
  }
  return ({ type, value }) => encoders[type]!(value as never)
}

/** The addon with three functions replaced; the others keep their own `this`. */
function withRecorder(binding: Binding, recorder: Recorder): Binding {
  const all: Record<string, unknown> = {}
  for (const key of Object.getOwnPropertyNames(binding) as (keyof Binding)[]) {
    const value: unknown = binding[key]
    all[key] = typeof value === 'function' ? value.bind(binding) : value
  }
  const { createTensor, executeOp, tensorDataSync, after } = recorder
  return { ...(all as unknown as Binding), createTensor, executeOp, tensorDataSync, after }
}
