import { ShapeError } from '@deepfever/core'
import type { StateDict, Terms } from '@deepfever/formats'
import type { Picture } from '@deepfever/media'
import { openPool } from '@deepfever/runtime/onnx'
import type { ModelForm } from './model-contract.ts'
import type { Network } from './network.ts'
import { toOnnx } from './onnx.ts'
import { describeNetwork } from './shapes.ts'

/** Makes one vector of each face picture. */
export interface Extractor {
  /** in words, for the page */
  readonly name: string
  /** names the weights and everything that turns pixels into a vector */
  readonly digest: string
  /** of what it was trained on */
  readonly terms: readonly Terms[]
  /** size, channels, scale and output, in words */
  readonly preprocessing: string
  /** side of the square pictures it takes, pixels */
  readonly size: number
  /** pictures of one run; fixed, since batch sizes may round differently */
  readonly batch: number
  /** all outputs of the model by name, each float32 [pictures, width of the output] */
  run(pictures: readonly Picture[]): Promise<Readonly<Record<string, Float32Array>>>
  /** @returns float32 [pictures, width] */
  embed(pictures: readonly Picture[]): Promise<Float32Array>
  close(): Promise<void>
}

/** Pictures of one run where the model takes any number. */
export const BLOCK = 32

/**
 * One output of a network in evaluation mode, from RGB pixels.
 *
 * @throws ShapeError when the network has no such output
 */
export function openNetworkExtractor(
  network: Network,
  state: StateDict,
  {
    digest,
    name,
    terms,
    output,
    workers,
  }: Readonly<Record<'digest' | 'name' | 'output', string>> & {
    readonly terms: readonly Terms[]
    readonly workers: number
  },
): Extractor {
  if (describeNetwork(network).outputs[output] === undefined)
    throw new ShapeError(
      `${network.name} has no output ${output}, only ${network.outputs.join(', ')}`,
      { found: network.outputs, wanted: output },
    )
  const form = { input: 'pixels', type: 'uint8', layout: 'nhwc', outputs: [output] } as const
  const size = network.input[1]!
  return openModelExtractor(toOnnx(network, state, form), {
    ...{ name, digest, terms, workers, size, output, input: 'image', batch: BLOCK },
    ...{ type: 'uint8', layout: 'nhwc', channelOrder: 'RGB', scale: undefined },
  })
}

/** A model of any origin with the form of its input. */
export function openModelExtractor(
  onnx: Uint8Array,
  form: ModelForm & {
    readonly name: string
    readonly digest: string
    readonly terms: readonly Terms[]
    readonly workers: number
  },
): Extractor {
  const { name, digest, terms, workers, size, batch, type, layout, channelOrder, output, scale } =
    form
  const pool = openPool({ network: onnx }, { workers })
  const scaling = scale ? `(x - ${scale.mean.join('/')}) / ${scale.std.join('/')}` : 'x 0..255'
  const run = async (pictures: readonly Picture[]) => {
    const side = { nchw: [3, size, size], nhwc: [size, size, 3] }[layout]
    const values = toInput(pictures, form)
    const image = { shape: [pictures.length, ...side], values }
    const outputs = await pool.run({ model: 'network', inputs: { [form.input]: image } })
    return Object.fromEntries(Object.entries(outputs).map(([key, found]) => [key, found.values]))
  }
  return {
    name,
    digest,
    terms,
    run,
    preprocessing: `${size} px, ${channelOrder} ${layout} ${type}, ${scaling}, output ${output}`,
    size,
    batch,
    async embed(pictures) {
      const outputs = await run(pictures)
      const found = outputs[output]
      if (found === undefined || found.length % pictures.length !== 0)
        throw new ShapeError(
          `${name}: found outputs ${Object.keys(outputs).join(', ')}, wanted ${output} with one ` +
            'vector a picture; name the output in contract.json or by --output',
          { found: Object.keys(outputs), wanted: output },
        )
      return found
    },
    close: () => pool.close(),
  }
}

/** Pixels in the order and scale that a model wants. */
function toInput(
  pictures: readonly Picture[],
  { size, type, layout, channelOrder, scale }: ModelForm,
): Float32Array | Uint8Array {
  const area = size * size
  const values =
    type === 'uint8'
      ? new Uint8Array(pictures.length * area * 3)
      : new Float32Array(pictures.length * area * 3)
  const isPlain = layout === 'nhwc' && channelOrder === 'RGB' && scale === undefined
  pictures.forEach(({ data }, i) => {
    if (isPlain) {
      values.set(data, i * area * 3)
      return
    }
    for (let c = 0; c < 3; c++) {
      const from = channelOrder === 'BGR' ? 2 - c : c
      const mean = scale?.mean[c] ?? 0
      const std = scale?.std[c] ?? 1
      for (let p = 0; p < area; p++) {
        const at = layout === 'nhwc' ? (i * area + p) * 3 + c : (i * 3 + c) * area + p
        values[at] = (data[p * 3 + from]! - mean) / std
      }
    }
  })
  return values
}
