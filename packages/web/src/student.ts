import { FormatError, messageOf } from '@deepfever/core'
import { CROP_SIZE, resizeTriangle } from '@deepfever/faces/portable'
import type { Picture } from '@deepfever/media'
import type { ModelContract } from '@deepfever/models'
import { openWebSession } from './web-session.ts'

/** What a student says of a face. */
export interface Reading {
  /** probability of each label */
  readonly expression: Float32Array
  readonly embedding: Float32Array
}

/** An open student. */
export interface Student {
  readonly labels: readonly string[]
  /** @param crop 140 x 140 */
  read(crop: Picture): Promise<Reading>
}

/**
 * Opens a model that `models export` wrote.
 *
 * @throws FormatError when the contract is of another kind of model
 */
export async function openStudent(onnx: Uint8Array, json: string): Promise<Student> {
  const { input, labels } = parseContract(json)
  const session = await openWebSession<'embedding' | 'expression'>(onnx)
  const [side] = input.size
  const all = { left: 0, top: 0, right: CROP_SIZE, bottom: CROP_SIZE }
  return {
    labels,
    async read(crop) {
      const { data } = side === CROP_SIZE ? crop : resizeTriangle(crop, all, side, side)
      const image = { shape: [1, side, side, 3], values: data }
      const { expression, embedding } = await session.run({ [input.name]: image })
      return { expression: expression.values, embedding: embedding.values }
    },
  }
}

function parseContract(json: string): ModelContract {
  const fail = (found: string) =>
    new FormatError(
      `contract.json: ${found}; wanted the contract of a student, with RGB bytes, channels last: ` +
        'npx deepfever models export --type=uint8 --layout=nhwc',
    )
  let contract: Partial<ModelContract>
  try {
    contract = JSON.parse(json) as Partial<ModelContract>
  } catch (thrown) {
    throw fail(messageOf(thrown))
  }
  const { input, outputs, labels } = contract
  if (input?.type !== 'uint8' || input.layout !== 'nhwc' || input.channelOrder !== 'RGB')
    throw fail(`input is ${input?.type} ${input?.layout} ${input?.channelOrder}`)
  if (!outputs?.['embedding'] || !outputs['expression'] || !labels?.length)
    throw fail(`outputs are ${Object.keys(outputs ?? {}).join(', ') || 'missing'}`)
  return contract as ModelContract
}
