import { FormatError } from '@deepfever/core'
import { join, message, nested, raw, text } from './protobuf.ts'

/** A field of a protobuf message whose content is bytes; others are passed over. */
interface Field {
  readonly number: number
  readonly bytes: Uint8Array
}

function* fieldsOf(bytes: Uint8Array): Generator<Field> {
  let at = 0
  const varint = () => {
    let value = 0
    for (let scale = 1; ; scale *= 128) {
      const byte = bytes[at++]
      if (byte === undefined) throw new FormatError('onnx: the file is cut off', { at })
      value += (byte & 127) * scale
      if (byte < 128) return value
    }
  }
  while (at < bytes.length) {
    const tag = varint()
    const wire = tag & 7
    if (wire === 0) varint()
    else if (wire === 1) at += 8
    else if (wire === 5) at += 4
    else if (wire !== 2) throw new FormatError(`onnx: byte ${at}: not an ONNX file`, { at })
    else {
      const size = varint()
      if (at + size > bytes.length) throw new FormatError('onnx: the file is cut off', { at })
      yield { number: tag >> 3, bytes: bytes.subarray(at, at + size) }
      at += size
    }
  }
}

const named = (bytes: Uint8Array, number: number): string[] =>
  [...fieldsOf(bytes)]
    .filter(field => field.number === number)
    .map(field => new TextDecoder().decode(field.bytes))

/**
 * Makes what goes into the last layer of `output` an output as well: of a classifier that was
 * published without one, its features.
 *
 * @param layer kind of the layer, so that another graph is refused and not misread
 * @returns the model, and the name of the tensor
 * @throws FormatError when `output` does not come from such a layer
 */
export function exposeInput(
  model: Uint8Array,
  output: string,
  layer = 'Gemm',
): { readonly model: Uint8Array; readonly name: string } {
  // Field numbers of onnx.proto: graph 7 of a model; nodes 1, outputs 12 of a graph; inputs 1,
  // outputs 2, kind 4 of a node; name 1 of an output.
  const graph = [...fieldsOf(model)].find(({ number }) => number === 7)?.bytes
  const parts = graph ? [...fieldsOf(graph)] : []
  const node = parts.find(({ number, bytes }) => number === 1 && named(bytes, 2).includes(output))
  const [kind] = node ? named(node.bytes, 4) : []
  const [name] = node ? named(node.bytes, 1) : []
  if (kind !== layer || name === undefined)
    throw new FormatError(
      `onnx: output ${output} comes from ${kind ?? 'no layer'}, wanted ${layer}; ` +
        'leave "feeds" out of the contract',
      { output, found: kind, wanted: layer },
    )
  const isOutput = parts.some(({ number, bytes }) => number === 12 && named(bytes, 1)[0] === name)
  if (isOutput) return { model, name }
  // Parts of a message that come twice are merged, lists are joined.
  const added = nested(7, nested(12, text(1, name)))
  return { model: join(message(raw(model), added)), name }
}
