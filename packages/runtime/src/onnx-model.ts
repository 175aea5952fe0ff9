import { float, join, message, nested, raw, text, whole, wholes, type Message } from './protobuf.ts'

/** Element types of ONNX tensors that are written here, with their numbers in onnx.proto. */
export const ONNX_TYPES = { float32: 1, uint8: 2, int64: 7 } as const
/** An element type. */
export type OnnxType = keyof typeof ONNX_TYPES

/** A graph input or output; a size given as a word is known only at run time. */
export interface OnnxPort {
  readonly name: string
  readonly type: OnnxType
  readonly shape: readonly (number | string)[]
}

/** A constant tensor of the graph. */
export interface OnnxConstant {
  readonly name: string
  readonly shape: readonly number[]
  readonly values: Float32Array | Uint8Array | BigInt64Array
}

/** An attribute: a whole number, whole numbers, text, or `{ float }` for a single float32. */
export type OnnxAttribute = number | readonly number[] | string | { readonly float: number }

/** One operation of the default operator set. */
export interface OnnxNode {
  readonly op: string
  readonly inputs: readonly string[]
  readonly outputs: readonly string[]
  readonly attributes?: Readonly<Record<string, OnnxAttribute>>
}

/** A model: one graph in topological order, and text that travels with it. */
export interface OnnxModel {
  readonly name: string
  readonly inputs: readonly OnnxPort[]
  readonly outputs: readonly OnnxPort[]
  readonly constants: readonly OnnxConstant[]
  readonly nodes: readonly OnnxNode[]
  readonly metadata?: Readonly<Record<string, string>>
}

const IR_VERSION = 8
const OPSET = 17
// AttributeProto.AttributeType
const FLOAT = 1
const INT = 2
const STRING = 3
const INTS = 7

const typeOf = (values: OnnxConstant['values']): OnnxType =>
  values instanceof Float32Array ? 'float32' : values instanceof Uint8Array ? 'uint8' : 'int64'

// the numbers below are the field numbers of onnx.proto (ONNX IR version 8)

function tensorMessage({ name, shape, values }: OnnxConstant): Message {
  const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength)
  return message(
    wholes(1, shape),
    whole(2, ONNX_TYPES[typeOf(values)]),
    text(8, name),
    nested(9, raw(bytes)),
  )
}

function attributeMessage(name: string, value: OnnxAttribute): Message {
  const named = text(1, name)
  if (typeof value === 'number') return message(named, whole(3, value), whole(20, INT))
  if (typeof value === 'string') return message(named, text(4, value), whole(20, STRING))
  if ('float' in value) return message(named, float(2, value.float), whole(20, FLOAT))
  return message(named, wholes(8, value), whole(20, INTS))
}

function nodeMessage(node: OnnxNode): Message {
  const attributes = Object.entries(node.attributes ?? {})
  return message(
    ...node.inputs.map(input => text(1, input)),
    ...node.outputs.map(output => text(2, output)),
    text(3, node.outputs[0] ?? node.op),
    text(4, node.op),
    ...attributes.map(([name, value]) => nested(5, attributeMessage(name, value))),
  )
}

function portMessage({ name, type, shape }: OnnxPort): Message {
  const dimensions = shape.map(size =>
    nested(1, typeof size === 'number' ? whole(1, size) : text(2, size)),
  )
  const tensor = message(whole(1, ONNX_TYPES[type]), nested(2, message(...dimensions)))
  return message(text(1, name), nested(2, nested(1, tensor)))
}

/** The bytes of an ONNX file (opset 17); little-endian machines only, as ONNX's raw data is. */
export function writeOnnxModel(model: OnnxModel): Uint8Array {
  const graph = message(
    ...model.nodes.map(node => nested(1, nodeMessage(node))),
    text(2, model.name),
    ...model.constants.map(constant => nested(5, tensorMessage(constant))),
    ...model.inputs.map(port => nested(11, portMessage(port))),
    ...model.outputs.map(port => nested(12, portMessage(port))),
  )
  const metadata = Object.entries(model.metadata ?? {})
  const file = message(
    whole(1, IR_VERSION),
    text(2, 'deepfever'),
    nested(7, graph),
    nested(8, whole(2, OPSET)),
    ...metadata.map(([key, value]) => nested(14, message(text(1, key), text(2, value)))),
  )
  return join(file)
}
