import { UsageError } from '@deepfever/core'
import type { StateDict, Terms } from '@deepfever/formats'

import type { Network } from './network.ts'
import { toOnnx } from './onnx.ts'
import { describeNetwork } from './shapes.ts'

/** What a program that runs the exported model has to know. Stands beside it as contract.json. */
export interface ModelContract {
  readonly model: string
  readonly input: {
    readonly name: 'image'
    readonly type: 'uint8' | 'float32'
    readonly layout: 'nchw' | 'nhwc'
    readonly size: readonly [height: number, width: number]
    readonly channelOrder: 'RGB'
    readonly range: readonly [0, 255]
    /** applied inside the model, in units of 0..255 */
    readonly normalisation: { readonly mean: readonly number[]; readonly std: readonly number[] }
    readonly crop: string
  }
  readonly outputs: Readonly<Record<string, { readonly width: number; readonly meaning: string }>>
  /** expression classes in the order of the output `expression` */
  readonly labels: readonly string[]
  /** digest of the network's definition */
  readonly architecture: string
  /** digest of the checkpoint artifact that the weights come from */
  readonly checkpoint?: string
  /** terms of the model and of what it was trained on */
  readonly licence: readonly string[]
  /** under which the pictures it was trained on may be used, where they say */
  readonly terms?: readonly Terms[]
}

/** What the exporter is told. */
export interface ModelExport {
  readonly labels: readonly string[]
  readonly licence: readonly string[]
  readonly checkpoint?: string
  readonly terms?: readonly Terms[]
  /** `uint8` with channels last is how decoded images lie in memory */
  readonly type?: 'uint8' | 'float32'
  readonly layout?: 'nchw' | 'nhwc'
}

const MEANINGS = {
  embedding: 'the expression feature vector, before the heads',
  expression: 'probability of each label',
  fec: 'similarity embedding: bring to unit length, then compare by Euclidean distance',
} as const

/**
 * A trained network for other programs: one ONNX file from RGB pixels to `embedding`, `expression`
 * and `fec`, preprocessing inside, any batch size; its form with
 * uint8 weights; and their contract.
 *
 * @throws UsageError when there is not one label an expression class
 */
export function exportModel(
  network: Network,
  state: StateDict,
  { labels, licence, checkpoint, terms, type = 'uint8', layout = 'nhwc' }: ModelExport,
): { onnx: Uint8Array; small: Uint8Array; contract: ModelContract } {
  const published = publishedForm(network)
  const { outputs, digest } = describeNetwork(published)
  const classes = outputs['expression']![0]!
  if (labels.length !== classes)
    throw new UsageError(
      `${network.name}: ${labels.length} labels for ${classes} expression classes; name each class`,
      { found: labels.length, wanted: classes },
    )
  const [, height, width] = network.input
  const contract: ModelContract = {
    model: network.name,
    input: {
      name: 'image',
      type,
      layout,
      size: [height!, width!],
      channelOrder: 'RGB',
      range: [0, 255],
      normalisation: network.normalisation,
      crop: 'the box of a face detector without margin, stretched to the size',
    },
    outputs: Object.fromEntries(
      published.outputs.map(name => [name, { width: outputs[name]![0]!, meaning: MEANINGS[name] }]),
    ),
    labels,
    architecture: digest,
    ...(checkpoint !== undefined && { checkpoint }),
    licence,
    ...(terms !== undefined && { terms }),
  }
  const metadata = { contract: JSON.stringify(contract) }
  const form = { input: 'pixels', type, layout, metadata } as const
  const onnx = toOnnx(published, state, form)
  return { onnx, small: toOnnx(published, state, { ...form, weights: 'uint8' }), contract }
}

/** The network with its outputs as they are published. */
function publishedForm(network: Network): Network<keyof typeof MEANINGS> {
  return {
    ...network,
    outputs: ['embedding', 'expression', 'fec'],
    build(ops, image) {
      const { embedding, affectnet, fec } = network.build(ops, image)
      return { embedding: embedding!, expression: ops.softmax(affectnet!), fec: fec! }
    },
  }
}
