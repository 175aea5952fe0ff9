import { createRequire } from 'node:module'

import { attribute, createGraph } from '../compile/graph.ts'
import { keepGraph } from '../compile/graph-folder.ts'
import type { Binding } from './addon.ts'

/** Decodes JPEGs by TensorFlow's own library. */
export interface JpegDecoder {
  /**
   * Pixels of colour JPEGs of `side` x `side`, an even number: uint8 [jpegs, side, side, 3].
   *
   * @throws Error in TensorFlow's words when one is damaged or of another size
   */
  decode(jpegs: readonly Uint8Array[], side: number): Uint8Array
}

/** The addon, as it takes strings: the bytes of each. */
interface StringBinding extends Omit<Binding, 'createTensor'> {
  createTensor(shape: readonly number[], dtype: number, values: readonly Uint8Array[]): number
}

/** What the addon reads as 4 bytes, since it reads no uint8. */
const WORD_BYTES = 4

/**
 * Opens the JPEG decoder of TensorFlow (libjpeg-turbo with the processor's vector instructions) in
 * this thread, without TensorFlow.js. Of an intact file the pixels are those of any libjpeg with
 * its exact transform.
 *
 * @param addon file of a native backend's addon
 */
export function openJpegDecoder(addon: string): JpegDecoder {
  const binding = createRequire(import.meta.url)(addon) as StringBinding
  const models = new Map<string, number>()
  const modelOf = (count: number, side: number): number => {
    const key = `${count} ${side}`
    const known = models.get(key)
    if (known !== undefined) return known
    const model = binding.loadSavedModel(keepGraph(graphOf(binding, count, side)), 'serve')
    models.set(key, model)
    return model
  }
  return {
    decode(jpegs, side) {
      const model = modelOf(jpegs.length, side)
      const input = binding.createTensor([jpegs.length], binding.TF_STRING, jpegs)
      try {
        const [output] = binding.runSavedModel(model, [input], `${INPUT}:0`, `${OUTPUT}:0`)
        const words = binding.tensorDataSync(output!.id)
        binding.deleteTensor(output!.id)
        return new Uint8Array(words.buffer, words.byteOffset, words.byteLength)
      } finally {
        binding.deleteTensor(input)
      }
    },
  }
}

const INPUT = 'jpegs'
const OUTPUT = 'words'

/** A graph that decodes `count` JPEGs, one operation each, so that several threads share them. */
function graphOf(binding: StringBinding, count: number, side: number): Uint8Array {
  const graph = createGraph('/device:CPU:0')
  const { TF_STRING, TF_UINT8, TF_INT32 } = binding
  const type = { T: attribute.type(TF_UINT8) }
  const form = { dtype: attribute.type(TF_STRING), shape: attribute.shape([count]) }
  const jpegs = graph.node('Placeholder', [], form, INPUT)
  const list = { num: attribute.whole(count), axis: attribute.whole(0) }
  const each = graph.node('Unpack', [jpegs], { ...list, T: attribute.type(TF_STRING) })
  const settings = {
    ...{ channels: attribute.whole(3), ratio: attribute.whole(1) },
    ...{ fancy_upscaling: attribute.bool(true), try_recover_truncated: attribute.bool(false) },
    ...{ acceptable_fraction: attribute.float(1), dct_method: attribute.text('INTEGER_ACCURATE') },
  }
  const pictures = Array.from({ length: count }, (_, i) =>
    graph.node('DecodeJpeg', [`${each}:${i}`], settings),
  )
  const packing = { N: attribute.whole(count), axis: attribute.whole(0) }
  const all = graph.node('Pack', pictures, { ...packing, ...type })
  const words = Int32Array.of((count * 3 * side * side) / WORD_BYTES, WORD_BYTES)
  const shape = graph.constant(TF_INT32, [2], words)
  const index = { Tshape: attribute.type(TF_INT32) }
  const flat = graph.node('Reshape', [all, shape], { ...type, ...index })
  const ref = graph.node('Bitcast', [flat], { ...type, type: attribute.type(TF_INT32) }, OUTPUT)
  const inputs = { jpegs: { ref: jpegs, dtype: TF_STRING, shape: [count] } }
  const outputs = { words: { ref, dtype: TF_INT32, shape: [words[0]!] } }
  return graph.toSavedModel({ decode: { inputs, outputs } })
}
