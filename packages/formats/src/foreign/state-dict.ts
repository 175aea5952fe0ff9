import { readFile } from 'node:fs/promises'
import { FormatError } from '@deepfever/core'
import { decodeSafetensors } from './safetensors.ts'
import type { StateDict, Tensor } from './tensor.ts'
import { decodeTorch } from './torch.ts'
import type { TorchValue } from './torch.ts'

/**
 * The state dict in what a torch file holds: the dict itself, or the only dict of tensors one level
 * below it (`{state_dict, epoch}`). Entries that are no tensors are left out.
 *
 * @param under the key of the wanted dict, where several hold tensors
 * @throws FormatError naming the keys when none or several fit
 */
export function stateDictOf(value: TorchValue, name: string, under?: string): StateDict {
  if (under === undefined && tensorsOf(value).size > 0) return tensorsOf(value)
  const found = [...entriesOf(value)]
    .map(([key, item]) => ({ key, tensors: tensorsOf(item) }))
    .filter(({ key, tensors }) => tensors.size > 0 && (under === undefined || key === under))
  if (found.length === 1) return found[0]!.tensors
  const keys = found.length === 0 ? [...entriesOf(value).keys()] : found.map(({ key }) => key)
  throw new FormatError(
    `${name}: ${found.length === 0 ? 'no' : found.length} dicts of tensors under the keys ${keys.slice(0, 8).join(', ') || '(none)'}; ${under === undefined ? 'name the wanted one' : `${under} is wanted`}`,
    { path: name, found: keys, wanted: under },
  )
}

/** Reads weights from a `.pt`, `.pth` or `.safetensors` file, told apart by their first bytes. */
export async function readWeights(path: string, under?: string): Promise<StateDict> {
  const bytes = await readFile(path)
  const isTorch = bytes[0] === 0x80 || (bytes[0] === 0x50 && bytes[1] === 0x4b)
  // A safetensors file starts with the length of its header, then a brace.
  if (!isTorch || bytes[8] === 0x7b) return decodeSafetensors(bytes, path).tensors
  return stateDictOf(decodeTorch(bytes, path), path, under)
}

const entriesOf = (value: TorchValue): ReadonlyMap<string, TorchValue> =>
  value instanceof Map ? (value as ReadonlyMap<string, TorchValue>) : new Map()

function tensorsOf(value: TorchValue): StateDict {
  const tensors = new Map<string, Tensor>()
  for (const [key, item] of entriesOf(value)) if (isTensor(item)) tensors.set(key, item)
  return tensors
}

const isTensor = (value: TorchValue): value is Tensor =>
  typeof value === 'object' && value !== null && 'dtype' in value
