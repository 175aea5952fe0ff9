import { FormatError } from '@deepfever/core'
import { decodeSafetensors, encodeSafetensors } from '@deepfever/formats'
import type { Codebook } from './product-codes.ts'

/** A codebook as a safetensors file: `centres`, float32 [parts, levels, width / parts]. */
export const encodeCodebook = ({ width, parts, levels, centres }: Codebook): Uint8Array =>
  encodeSafetensors(
    new Map([
      [
        'centres',
        { dtype: 'float32', shape: [parts, levels, width / parts], values: centres } as const,
      ],
    ]),
  )

/** @throws FormatError when the file holds no centres */
export function decodeCodebook(bytes: Uint8Array, name: string): Codebook {
  const { tensors } = decodeSafetensors(bytes, name)
  const centres = tensors.get('centres')
  const { shape = [], values } = centres ?? {}
  const [parts = 0, levels = 0, span = 0] = shape
  if (!(values instanceof Float32Array) || shape.length !== 3 || levels < 1 || levels > 256)
    throw new FormatError(
      `${name}: tensors ${[...tensors.keys()].join(', ') || 'none'}, centres [${shape.join(', ')}]; ` +
        'wanted centres, float32 [parts, at most 256, numbers a part]',
      { name, found: shape },
    )
  return { width: parts * span, parts, levels, centres: values }
}
