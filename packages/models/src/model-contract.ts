import { readFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { FormatError, messageOf } from '@deepfever/core'
import { sha256, toTerms, type Terms } from '@deepfever/formats'
import { exposeInput } from '@deepfever/runtime/onnx'
import { BLOCK, openModelExtractor, type Extractor } from './extractor.ts'

/** How pixels go into a model and where its vector comes out. */
export interface ModelForm {
  /** name of the graph's input */
  readonly input: string
  readonly size: number
  readonly batch: number
  readonly type: 'uint8' | 'float32'
  readonly layout: 'nchw' | 'nhwc'
  readonly channelOrder: 'RGB' | 'BGR'
  /** per channel in the model's order, in units of 0..255; undefined where the model does it */
  readonly scale: { readonly mean: readonly number[]; readonly std: readonly number[] } | undefined
  /** name of the graph's output */
  readonly output: string
}

const EXAMPLE =
  '{"input": {"name": "input", "type": "float32", "layout": "nchw", "size": [224, 224], ' +
  '"channelOrder": "RGB", "normalisation": {"mean": [123.675, 116.28, 103.53], ' +
  '"std": [58.395, 57.12, 57.375], "applied": "outside"}}, "outputs": {"embedding": {}}}'

type Json = Readonly<Record<string, unknown>>
const isJson = (value: unknown): value is Json =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/**
 * Reads what `contract.json` says of a model. `normalisation.applied` is `inside` (as in this
 * project's exports) unless it says `outside`; mean and std are in units of 0..255.
 *
 * @param output the output to take; empty: `embedding`, or the only one
 * @throws FormatError naming the field, what was found and what was wanted
 */
export function parseContract(json: string, place: string, output: string): ModelForm {
  const fail = (field: string, found: unknown, wanted: string, cause?: unknown): FormatError =>
    new FormatError(
      `${place}: ${field} is ${JSON.stringify(found) ?? 'missing'}, wanted ${wanted}; for example: ${EXAMPLE}`,
      { place, field, found, wanted },
      cause,
    )
  let value: unknown
  try {
    value = JSON.parse(json)
  } catch (thrown) {
    throw fail('the file', messageOf(thrown), 'JSON', thrown)
  }
  const { input, outputs } = isJson(value) ? value : {}
  if (!isJson(input)) throw fail('input', input, 'an object')
  const oneOf = <const T extends string>(field: string, choices: readonly T[]): T => {
    const found = choices.find(choice => choice === input[field])
    if (found === undefined) throw fail(`input.${field}`, input[field], choices.join(' or '))
    return found
  }
  const { name, size, normalisation, batch = BLOCK } = input
  const [height, width] = Array.isArray(size) ? (size as unknown[]) : []
  if (typeof name !== 'string') throw fail('input.name', name, "the name of the graph's input")
  if (!(Number.isInteger(height) && height === width && Number(height) > 0))
    throw fail('input.size', size, '[height, width], both the same')
  if (!(Number.isInteger(batch) && Number(batch) > 0))
    throw fail('input.batch', batch, 'a whole number above 0')
  const names = isJson(outputs) ? Object.keys(outputs) : []
  const chosen = output || (names.length === 1 ? names[0]! : 'embedding')
  if (!names.includes(chosen)) throw fail('outputs', names, `one named ${chosen}`)
  const type = oneOf('type', ['uint8', 'float32'])
  const scale = scaleOf(normalisation, found =>
    fail('input.normalisation', found, 'mean and std of three numbers, std above 0'),
  )
  if (scale && type === 'uint8') throw fail('input.type', type, 'float32 where it is normalised')
  return {
    ...{ input: name, size: Number(height), batch: Number(batch), type, output: chosen, scale },
    layout: oneOf('layout', ['nchw', 'nhwc']),
    channelOrder: oneOf('channelOrder', ['RGB', 'BGR']),
  }
}

function scaleOf(normalisation: unknown, fail: (found: unknown) => FormatError) {
  if (!isJson(normalisation) || normalisation['applied'] !== 'outside') return undefined
  const { mean, std } = normalisation
  const isThree = (value: unknown): value is number[] =>
    Array.isArray(value) && value.length === 3 && value.every(Number.isFinite)
  if (!isThree(mean) || !isThree(std) || std.some(value => value <= 0)) throw fail(normalisation)
  return { mean, std }
}

/** An ONNX file with what its contract says. */
export interface DescribedModel {
  readonly path: string
  readonly bytes: Uint8Array
  readonly form: ModelForm
  /** names the weights and everything that turns pixels into a vector */
  readonly digest: string
  readonly terms: readonly Terms[]
  /** the contract as it stands on disk */
  readonly contract: Readonly<Record<string, unknown>>
}

/**
 * Reads an ONNX file and its contract: `contract`, or where that is empty contract.json beside it.
 * An output that the contract says `"feeds"` another one is made one of the graph.
 *
 * @throws FormatError with an example where there is no contract, or naming its wrong field
 */
export async function readModel(
  onnx: string,
  { contract, output }: { readonly contract: string; readonly output: string },
): Promise<DescribedModel> {
  const place = contract || join(dirname(onnx), 'contract.json')
  const read = (file: string, what: string) =>
    readFile(file).catch((thrown: unknown) => {
      throw new FormatError(`${file}: not readable, wanted ${what}`, { path: file }, thrown)
    })
  const stored = await read(onnx, 'an ONNX model')
  const json = await read(place, `the contract of the model; for example: ${EXAMPLE}`)
  const said = parseContract(json.toString(), place, output)
  const described = JSON.parse(json.toString()) as Json
  const { feeds } = ((described['outputs'] as Json)[said.output] ?? {}) as Json
  const { model: bytes, name } =
    typeof feeds === 'string' ? exposeInput(stored, feeds) : { model: stored, name: said.output }
  const form = { ...said, output: name }
  const digest = sha256(`${sha256(bytes)} ${JSON.stringify(form)}`)
  const terms = toTerms(described['terms'])
  return { path: onnx, bytes, form, digest, terms, contract: described }
}

/** Opens a foreign ONNX file by the contract beside it. */
export async function openOnnxExtractor(
  onnx: string,
  { workers, ...how }: { contract: string; output: string; workers: number },
): Promise<Extractor> {
  const { bytes, form, digest, terms } = await readModel(onnx, how)
  return openModelExtractor(bytes, { ...form, name: onnx, digest, terms, workers })
}
