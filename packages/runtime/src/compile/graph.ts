import { createHash } from 'node:crypto'

import { ShapeError } from '@deepfever/core'

import type { TensorValues } from '../native/addon.ts'
import {
  float,
  join,
  message,
  nested,
  raw,
  text,
  whole,
  wholes,
  type Message,
} from '../protobuf.ts'

// numbers of tensorflow/core/framework/types.proto
/** Element types of a graph, with TensorFlow's numbers. */
export const DTYPES = { float32: 1, int32: 3, bool: 10 } as const
/** An element type. */
export type Dtype = keyof typeof DTYPES

/** One output of a node: `node:index`, its element type as a number, its size. */
export interface Port {
  readonly ref: string
  readonly dtype: number
  readonly shape: readonly number[]
}

/** A tensor that outlives a run: it is read, assigned, and fed when a state is loaded. */
interface Variable {
  readonly shape: readonly number[]
  /** the resource itself */
  readonly handle: string
  readonly read: string
  readonly feed: string
  /** the operation that stores what is fed */
  readonly assign: string
}

/** What one signature of a saved model takes and gives. */
export interface Signature {
  readonly inputs: Readonly<Record<string, Port>>
  readonly outputs: Readonly<Record<string, Port>>
}

// field numbers of tensorflow/core/framework/attr_value.proto
const shapeOf = (shape: readonly number[]): Message =>
  message(...shape.map(size => nested(2, whole(1, size))))
const listOf = (inner: Message): Message => nested(1, inner)

/** Attribute values of a node. */
export const attribute = {
  text: (value: string): Message => text(2, value),
  whole: (value: number): Message => whole(3, value),
  float: (value: number): Message => float(4, value),
  bool: (value: boolean): Message => whole(5, value ? 1 : 0),
  type: (value: number): Message => whole(6, value),
  shape: (value: readonly number[]): Message => nested(7, shapeOf(value)),
  wholes: (values: readonly number[]): Message => listOf(wholes(3, values)),
  floats: (values: readonly number[]): Message =>
    listOf(message(...values.map(value => float(4, value)))),
  tensor: (dtype: number, shape: readonly number[], values: TensorValues): Message =>
    nested(
      8,
      message(
        whole(1, dtype),
        nested(2, shapeOf(shape)),
        nested(4, raw(new Uint8Array(values.buffer, values.byteOffset, values.byteLength))),
      ),
    ),
}

/** A node's attributes by name. */
type Attributes = Readonly<Record<string, Message>>

/** A TensorFlow graph under construction. */
export interface Graph {
  readonly variables: ReadonlyMap<string, Variable>
  /** adds a node; `name` is made unique; answers the name */
  node(op: string, inputs: readonly string[], attributes?: Attributes, name?: string): string
  /** a constant; equal ones are one node */
  constant(dtype: number, shape: readonly number[], values: TensorValues): string
  /** a tensor of one value, which takes no room in the file */
  fill(dtype: number, shape: readonly number[], value: TensorValues): string
  /** a float32 variable; asked for twice it is the same one */
  variable(name: string, shape: readonly number[]): Variable
  /** the bytes of `saved_model.pb` */
  toSavedModel(signatures: Readonly<Record<string, Signature>>): Uint8Array
}

const FLOAT = attribute.type(DTYPES.float32)
/**
 * TensorFlow's optimizer gathers sums into one operation of many operands and, where the machine
 * has little free memory, lets these be added in the order in which they are ready: other bits in
 * every run. It leaves alone what has this mark, which is its own for what it is done with.
 */
const KEPT = { _grappler_ArithmeticOptimizer_AddOpsRewriteStage: attribute.bool(true) }
/** GraphDef version that TensorFlow 2 producers write. */
const PRODUCER = 1645

/** An empty graph; its nodes run on `device`, or where TensorFlow puts them. */
export function createGraph(device = ''): Graph {
  const nodes: Message[] = []
  const names = new Map<string, number>()
  const constants = new Map<string, string>()
  const variables = new Map<string, Variable>()

  const once = (key: string, make: () => string): string => {
    const known = constants.get(key)
    if (known !== undefined) return known
    const made = make()
    constants.set(key, made)
    return made
  }

  /** Operands one after the other, in the order given. */
  const sum = (inputs: readonly string[], { T = FLOAT }: Attributes): string => {
    const after = inputs.filter(input => input.startsWith('^'))
    const [first, ...others] = inputs.filter(input => !input.startsWith('^'))
    return others.reduce(
      (total, input) => graph.node('AddV2', [total, input, ...after], { T }),
      first!,
    )
  }

  const graph: Graph = {
    variables,
    node(op, inputs, attributes = {}, name = op.replace(/^_/, '')) {
      if (op === 'AddN') return sum(inputs, attributes)
      const count = names.get(name) ?? 0
      names.set(name, count + 1)
      const unique = count === 0 ? name : `${name}_${count}`
      const isSum = op === 'AddV2' || op === 'Add'
      const own = isSum ? { ...attributes, ...KEPT } : attributes
      nodes.push(nodeMessage(unique, op, inputs, own, device))
      return unique
    },
    constant(dtype, shape, values) {
      const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength)
      const digest = createHash('sha256').update(`${dtype}:${shape}:`).update(bytes).digest('hex')
      const value = attribute.tensor(dtype, shape, values)
      return once(digest, () => graph.node('Const', [], { dtype: attribute.type(dtype), value }))
    },
    fill(dtype, shape, value) {
      const dimensions = graph.constant(DTYPES.int32, [shape.length], Int32Array.from(shape))
      const filler = graph.constant(dtype, [], value)
      const types = { T: attribute.type(dtype), index_type: attribute.type(DTYPES.int32) }
      return once(`${dimensions} ${filler}`, () => graph.node('Fill', [dimensions, filler], types))
    },
    variable(name, shape) {
      const known = variables.get(name)
      if (known !== undefined) {
        if (`${known.shape}` !== `${shape}`)
          throw new ShapeError(`variable ${name}: [${shape}] and before [${known.shape}]`, { name })
        return known
      }
      const form = { dtype: FLOAT, shape: attribute.shape(shape) }
      const place = { shared_name: attribute.text(name), container: attribute.text('') }
      const handle = graph.node('VarHandleOp', [], { ...form, ...place }, `variable/${name}`)
      const read = graph.node('ReadVariableOp', [handle], { dtype: FLOAT }, `read/${name}`)
      const feed = graph.node('Placeholder', [], form, `feed/${name}`)
      // AssignVariableOp would adopt the fed buffer, which is the memory of a JavaScript array.
      const copy = graph.node('DeepCopy', [feed], { T: FLOAT }, `copy/${name}`)
      const stored = { dtype: FLOAT }
      const assign = graph.node('AssignVariableOp', [handle, copy], stored, `assign/${name}`)
      const variable = { shape: [...shape], handle, read, feed, assign }
      variables.set(name, variable)
      return variable
    },
    toSavedModel(signatures) {
      const definition = message(
        ...nodes.map(node => nested(1, node)),
        nested(4, whole(1, PRODUCER)),
      )
      const meta = message(
        nested(1, text(4, 'serve')),
        nested(2, definition),
        ...Object.entries(signatures).map(([name, signature]) =>
          nested(5, entry(name, signatureMessage(signature))),
        ),
      )
      return join(message(whole(1, 1), nested(2, meta)))
    },
  }
  return graph
}

/** One entry of a map field. */
const entry = (key: string, value: Message): Message => message(text(1, key), nested(2, value))

const nodeMessage = (
  name: string,
  op: string,
  inputs: readonly string[],
  attributes: Attributes,
  device: string,
): Message =>
  message(
    text(1, name),
    text(2, op),
    ...inputs.map(input => text(3, input)),
    ...(device === '' ? [] : [text(4, device)]),
    ...Object.entries(attributes).map(([key, value]) => nested(5, entry(key, value))),
  )

function signatureMessage({ inputs, outputs }: Signature): Message {
  const ports = (field: number, list: Readonly<Record<string, Port>>) =>
    Object.entries(list).map(([key, { ref, dtype, shape }]) => {
      const info = message(text(1, ref), whole(2, dtype), nested(3, shapeOf(shape)))
      return nested(field, entry(key, info))
    })
  return message(...ports(1, inputs), ...ports(2, outputs), text(3, 'tensorflow/serving/predict'))
}
