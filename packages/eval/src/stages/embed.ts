import { ShapeError, mapOrdered } from '@deepfever/core'
import type { Face, StateDict } from '@deepfever/formats'
import { codeOf, decodeCrop, type Picture } from '@deepfever/media'
import { describeNetwork, toOnnx, type Network } from '@deepfever/models'
import { openPool } from '@deepfever/runtime/onnx'

/** Faces of one run of the network; fixed, since batch sizes may round differently. */
const BLOCK = 32

/** One output vector of a network for each crop. */
export interface Embedder {
  readonly width: number
  /** side of the square crops in pixels */
  readonly size: number
  /** @returns float32 [pictures, width] */
  embed(pictures: readonly Picture[]): Promise<Float32Array>
  close(): Promise<void>
}

/** Vectors of one block of faces, one matrix an embedder, and the faces that gave none. */
export interface EmbeddedBlock {
  readonly faces: readonly Face[]
  /** float32 [faces, width] by embedder */
  readonly vectors: readonly Float32Array[]
  readonly rejected: readonly { readonly face: Face; readonly code: string }[]
}

/**
 * Opens one output of a network in evaluation mode, from RGB pixels.
 *
 * @param workers most threads
 * @throws ShapeError when the network has no such output
 */
export function openEmbedder(
  network: Network,
  state: StateDict,
  output: string,
  workers: number,
): Embedder {
  const width = describeNetwork(network).outputs[output]?.[0]
  if (width === undefined) {
    throw new ShapeError(
      `${network.name} has no output ${output}, only ${network.outputs.join(', ')}`,
      { found: network.outputs, wanted: output },
    )
  }
  const form = { input: 'pixels', type: 'uint8', layout: 'nhwc', outputs: [output] } as const
  const models = { network: toOnnx(network, state, form) }
  const pool = openPool(models, { workers })
  const size = network.input[1]!
  return {
    width,
    size,
    async embed(pictures) {
      const values = new Uint8Array(pictures.length * size * size * 3)
      pictures.forEach(({ data }, i) => values.set(data, i * size * size * 3))
      const image = { shape: [pictures.length, size, size, 3], values }
      const outputs = await pool.run({ model: 'network', inputs: { image } })
      return outputs[output]!.values
    },
    close: () => pool.close(),
  }
}

/**
 * Decodes crops and runs every embedder on them, in the order of the rows.
 *
 * @param workers threads of the embedders; one block more is decoded meanwhile
 */
export const embedFaces = (
  rows: AsyncIterable<Face>,
  embedders: readonly Embedder[],
  workers: number,
): AsyncGenerator<EmbeddedBlock> =>
  mapOrdered(blocksOf(rows), workers + 1, async block => {
    const size = embedders[0]!.size
    const decoded = await Promise.all(block.map(face => pixelsOf(face, size)))
    const faces: Face[] = []
    const pictures: Picture[] = []
    const rejected: { face: Face; code: string }[] = []
    decoded.forEach((picture, i) => {
      const face = block[i]!
      if (typeof picture === 'string') {
        rejected.push({ face, code: picture })
      } else {
        faces.push(face)
        pictures.push(picture)
      }
    })
    if (faces.length === 0)
      return { faces, vectors: embedders.map(() => new Float32Array(0)), rejected }
    const vectors = await Promise.all(embedders.map(embedder => embedder.embed(pictures)))
    return { faces, vectors, rejected }
  })

/** The crop's pixels, or the code of why there are none. */
const pixelsOf = ({ crop }: Face, side: number): Promise<Picture | string> =>
  decodeCrop(crop, side).catch(codeOf)

async function* blocksOf(rows: AsyncIterable<Face>): AsyncGenerator<Face[]> {
  let block: Face[] = []
  for await (const face of rows) {
    block.push(face)
    if (block.length < BLOCK) continue
    yield block
    block = []
  }
  if (block.length > 0) yield block
}
