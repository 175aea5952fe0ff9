import { writeOnnxModel } from '@deepfever/runtime/onnx'
import type { OnnxAttribute, OnnxConstant, OnnxNode, OnnxPort } from '@deepfever/runtime/onnx'

import { quantiseWeights } from './onnx-weights.ts'
import type { Shape } from './ops.ts'

/** Attributes of a node by name. */
export type Attributes = Readonly<Record<string, OnnxAttribute>>

/** How a graph is written. */
export interface GraphFile {
  readonly metadata?: Readonly<Record<string, string>> | undefined
  /** uint8: a quarter of the bytes, see {@link quantiseWeights} */
  readonly weights?: 'float32' | 'uint8' | undefined
}

/** An ONNX graph under construction. */
export interface OnnxGraph {
  /** adds a node and gives its output's name; nodes stand in the order of the calls */
  emit(op: string, inputs: readonly string[], attributes?: Attributes, output?: string): string
  /** adds a float32 constant and gives its name; the same name again replaces it */
  constant(name: string, shape: Shape, values: Float32Array): string
  /** a name that no node has yet */
  fresh(op: string): string
  /** makes the value `from` an output of the graph, under a name of its own */
  output(name: string, from: string, shape: Shape): void
  /** the file, without the nodes and constants that no output needs */
  write(name: string, input: OnnxPort, options?: GraphFile): Uint8Array
}

/** Begins an empty graph. */
export function openGraph(): OnnxGraph {
  const nodes: OnnxNode[] = []
  const constants = new Map<string, OnnxConstant>()
  const outputs: OnnxPort[] = []
  let count = 0
  const fresh = (op: string) => `${op.toLowerCase()}_${count++}`
  const emit: OnnxGraph['emit'] = (op, inputs, attributes = {}, output = fresh(op)) => {
    nodes.push({ op, inputs, outputs: [output], attributes })
    return output
  }
  return {
    fresh,
    emit,
    constant(name, shape, values) {
      constants.set(name, { name, shape, values })
      return name
    },
    output(name, from, shape) {
      emit('Identity', [from], {}, name)
      outputs.push({ name, type: 'float32', shape: dimensionsOf(name, shape) })
    },
    write(name, input, { metadata = {}, weights = 'float32' } = {}) {
      const { needed, names } = neededNodes(nodes, outputs)
      const used = [...constants.values()].filter(constant => names.has(constant.name))
      const exact = { nodes: needed, constants: used }
      const body = weights === 'uint8' ? quantiseWeights(needed, used) : exact
      return writeOnnxModel({ name, inputs: [input], outputs, ...body, metadata })
    },
  }
}

/**
 * A port's dimensions with the batch in front. Sizes known only at run time are named after the
 * port, since an output's are other numbers than the input's.
 */
export const dimensionsOf = (port: string, shape: Shape): (number | string)[] => [
  'batch',
  ...shape.map((size, axis) => (Number.isNaN(size) ? `${port}_${'chw'[axis]}` : size)),
]

/** The nodes that the outputs depend on, in order, and the names that these read. */
function neededNodes(nodes: readonly OnnxNode[], outputs: readonly OnnxPort[]) {
  const names = new Set(outputs.map(({ name }) => name))
  const needed: OnnxNode[] = []
  for (const node of nodes.toReversed()) {
    if (!node.outputs.some(name => names.has(name))) continue
    for (const name of node.inputs) names.add(name)
    needed.push(node)
  }
  return { needed: needed.reverse(), names }
}
