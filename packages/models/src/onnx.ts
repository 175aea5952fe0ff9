import type { StateDict } from '@deepfever/formats'
import type { OnnxPort } from '@deepfever/runtime/onnx'

import type { Network } from './network.ts'
import { dimensionsOf, openGraph } from './onnx-graph.ts'
import type { GraphFile, OnnxGraph } from './onnx-graph.ts'
import { onnxOps } from './onnx-ops.ts'
import { parametersOf } from './state.ts'

/** What an ONNX form of a network takes and gives. */
export interface OnnxForm extends GraphFile {
  /** 'normalised': the network's own input; 'pixels': RGB 0..255, normalised in the graph */
  readonly input?: 'normalised' | 'pixels'
  readonly type?: 'float32' | 'uint8'
  /** batch, channels, height, width; or channels last, as images lie in memory */
  readonly layout?: 'nchw' | 'nhwc'
  /** the outputs to keep; all when absent */
  readonly outputs?: readonly string[]
  /** taps that become outputs too, under their own names */
  readonly taps?: readonly string[]
}

/**
 * The ONNX file of a network: input `image`, any batch size, outputs and taps in PyTorch layout.
 * Batch normalisation and scaling after a convolution are folded into its weights.
 *
 * @throws ShapeError when a weight is missing or has another shape
 */
export function toOnnx(network: Network, state: StateDict, form: OnnxForm = {}): Uint8Array {
  const graph = openGraph()
  const ops = onnxOps(graph, parametersOf(network, state), new Set(form.taps))
  const { port, name } = inputOf(graph, network, form)
  const image = { shape: network.input, name: () => name }
  const ready = form.input === 'pixels' ? ops.normalise(image, network.normalisation) : image
  const built = network.build(ops, ready)
  for (const output of form.outputs ?? network.outputs) {
    const value = built[output]!
    graph.output(output, value.name(), value.shape)
  }
  return graph.write(network.name, port, form)
}

/** The input as the caller gives it, and the name of the float32 NCHW value made of it. */
function inputOf(
  graph: OnnxGraph,
  network: Network,
  { type = 'float32', layout = 'nchw' }: OnnxForm,
): { port: OnnxPort; name: string } {
  const shape = dimensionsOf('image', network.input)
  let name = 'image'
  if (type === 'uint8') name = graph.emit('Cast', [name], { to: 1 })
  if (layout === 'nchw') return { port: { name: 'image', type, shape }, name }
  const [batch, channels, height, width] = shape
  name = graph.emit('Transpose', [name], { perm: [0, 3, 1, 2] })
  return { port: { name: 'image', type, shape: [batch!, height!, width!, channels!] }, name }
}
