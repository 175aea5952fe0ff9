import { readFile, stat } from 'node:fs/promises'
import { FormatError } from '@deepfever/core'
import { openCursor } from './cursor.ts'
import type { Cursor } from './cursor.ts'
import { readPickle } from './pickle.ts'
import { TorchView, openTorchRules } from './torch-objects.ts'
import type { TorchStorage } from './torch-objects.ts'
import { bytesOf, decodeValues, elementCount, gather } from './tensor.ts'
import type { ByteOrder, Tensor, TensorValues } from './tensor.ts'
import { openZip } from './zip.ts'

/** What a torch file holds: tensors, and the plain data around them. Dicts are Maps. */
export type TorchValue =
  | Tensor
  | ReadonlyMap<string | number | bigint | boolean, TorchValue>
  | readonly TorchValue[]
  | string
  | number
  | bigint
  | boolean
  | Uint8Array
  | null

/** Above these a file is refused before anything of that size is allocated. */
export const torchLimits = {
  /** Node reads at most 2 GiB into one buffer; the largest weights in use here take 0.2 GB. */
  fileBytes: 2 ** 31 - 1,
  /** The pickle describes tensors only: 200 layers take 0.2 MB. */
  pickleBytes: 2 ** 26,
  /** All tensors together, copies of shared storages and expanded (stride 0) views counted. */
  tensorBytes: 2 ** 31,
  /** One a storage; 200 layers have 1,000. */
  entries: 2 ** 16,
  /** Dicts within dicts. */
  depth: 32,
} as const

const LEGACY_MAGIC = 0x1950a86a20f9469cfc6cn
const LEGACY_PROTOCOL = 1001
const ZIP_START = 0x504b
const PICKLE_START = 0x80

/**
 * Reads a `.pt` or `.pth` file (zip or legacy) as data; nothing is ever executed. Strides, offsets
 * and shared storages are honoured.
 *
 * @param source a path, or the bytes
 * @throws FormatError naming file and place: cut off, damaged, over a limit, or a Python global
 *   that is not on the allow list
 */
export async function readTorch(
  source: string | Uint8Array,
  name = typeof source === 'string' ? source : 'torch file',
): Promise<TorchValue> {
  if (typeof source !== 'string') return decodeTorch(source, name)
  checkSize(name, (await stat(source)).size, torchLimits.fileBytes, 'the file')
  return decodeTorch(await readFile(source), name)
}

/** {@link readTorch} of bytes in memory; `name` is the file's name in errors. */
export function decodeTorch(bytes: Uint8Array, name: string): TorchValue {
  checkSize(name, bytes.byteLength, torchLimits.fileBytes, 'the file')
  const start = bytes.byteLength < 2 ? 0 : (bytes[0]! << 8) | bytes[1]!
  if (start === ZIP_START) return decodeZip(bytes, name)
  if (bytes[0] === PICKLE_START) return decodeLegacy(bytes, name)
  throw new FormatError(
    `${name}: at byte 0: neither a zip archive nor a pickle, so no file of torch.save`,
    { path: name, byte: 0 },
  )
}

/** The zip layout: `<root>/data.pkl`, `<root>/byteorder`, and a storage an entry `<root>/data/<key>`. */
function decodeZip(bytes: Uint8Array, name: string): TorchValue {
  const { entries, fileBytes } = torchLimits
  const zip = openZip(name, bytes, { entries, sizeBytes: fileBytes })
  const index = zip.names.find(entry => /^[^/]+\/data\.pkl$/.test(entry))
  if (index === undefined) {
    throw new FormatError(`${name}: the archive has no <name>/data.pkl, so no file of torch.save`, {
      path: name,
    })
  }
  const root = index.slice(0, -'data.pkl'.length)
  const storages = new Map<string, TorchStorage>()
  const pickle = zip.read(index)
  checkSize(`${name}: ${index}`, pickle.byteLength, torchLimits.pickleBytes, 'the pickle')
  const { value } = readPickle(`${name}: ${index}`, pickle, openTorchRules(storages))
  const order = readOrder(name, zip.has(`${root}byteorder`) ? zip.read(`${root}byteorder`) : null)
  return toValue(name, value, storage => {
    const entry = `${root}data/${storage.key}`
    const found = zip.read(entry)
    const wanted = storage.count * bytesOf(storage.dtype)
    if (found.byteLength !== wanted) {
      throw new FormatError(
        `${name}: ${entry} has ${found.byteLength} bytes, ${storage.count} ${storage.dtype} take ${wanted}`,
        { path: name, entry, found: found.byteLength, wanted },
      )
    }
    return decodeValues(storage.dtype, found, order)
  })
}

function readOrder(name: string, bytes: Uint8Array | null): ByteOrder {
  const order = bytes === null ? 'little' : Buffer.from(bytes).toString('latin1')
  if (order === 'little' || order === 'big') return order
  throw new FormatError(`${name}: byteorder is ${JSON.stringify(order)}, expected little or big`, {
    path: name,
    found: order,
  })
}

/** The legacy layout: five pickles, then every storage as a 64-bit count and its elements. */
function decodeLegacy(bytes: Uint8Array, name: string): TorchValue {
  const storages = new Map<string, TorchStorage>()
  const rules = openTorchRules(storages)
  const head = bytes.subarray(0, Math.min(bytes.byteLength, torchLimits.pickleBytes))
  const cursor = openCursor(name, bytes)
  const next = (): unknown => {
    const { value, end } = readPickle(name, head, rules, cursor.at)
    cursor.at = end
    return value
  }
  checkHead(cursor, next(), next(), next())
  const value = next()
  const keys = next()
  const places = readStorages(cursor, keys, storages)
  return toValue(name, value, storage =>
    decodeValues(storage.dtype, places.get(storage.key) ?? new Uint8Array(0)),
  )
}

function checkHead(cursor: Cursor, magic: unknown, protocol: unknown, system: unknown): void {
  if (magic !== LEGACY_MAGIC || protocol !== LEGACY_PROTOCOL) {
    throw cursor.fail(
      `a pickle, but not torch.save's: magic ${String(magic)}, protocol ${String(protocol)}`,
    )
  }
  if (!(system instanceof Map) || system.get('little_endian') !== true) {
    throw cursor.fail('written on a big-endian machine; save it again as a zip')
  }
}

function readStorages(
  cursor: Cursor,
  keys: unknown,
  storages: ReadonlyMap<string, TorchStorage>,
): Map<string, Uint8Array> {
  if (!Array.isArray(keys) || keys.length !== storages.size) {
    throw cursor.fail(`the tensors name ${storages.size} storages, the file lists others`)
  }
  const places = new Map<string, Uint8Array>()
  for (const key of keys as unknown[]) {
    const storage = storages.get(String(key))
    if (storage === undefined || places.has(storage.key)) {
      throw cursor.fail(`storage ${String(key)} is listed, and no tensor names it or it is twice`)
    }
    const count = cursor.count64()
    if (count !== storage.count) {
      throw cursor.fail(
        `storage ${storage.key} has ${count} elements, its tensors name ${storage.count}`,
        { found: count, wanted: storage.count },
      )
    }
    places.set(storage.key, cursor.take(count * bytesOf(storage.dtype)))
  }
  if (cursor.at !== cursor.length) {
    throw cursor.fail(`${cursor.length - cursor.at} bytes stand after the last storage`)
  }
  return places
}

/** Replaces views by tensors. An object that stands twice is converted once. */
function toValue(
  name: string,
  root: unknown,
  load: (storage: TorchStorage) => TensorValues,
): TorchValue {
  const loaded = new Map<TorchStorage, TensorValues>()
  const done = new Map<unknown, TorchValue>()
  let totalBytes = 0
  const toTensor = ({ storage, offset, shape, strides }: TorchView): Tensor => {
    totalBytes += elementCount(shape) * bytesOf(storage.dtype)
    checkSize(name, totalBytes, torchLimits.tensorBytes, 'the tensors together')
    const values = loaded.get(storage) ?? load(storage)
    loaded.set(storage, values)
    return { shape, dtype: storage.dtype, values: gather(values, offset, shape, strides) }
  }
  const convert = (value: unknown, depth: number): TorchValue => {
    if (depth > torchLimits.depth) {
      throw new FormatError(`${name}: dicts and lists nest more than ${torchLimits.depth} deep`, {
        path: name,
      })
    }
    if (value instanceof TorchView) return toTensor(value)
    if (value instanceof Map) {
      return new Map(
        [...(value as Map<string, unknown>)].map(([key, item]) => [key, visit(item, depth + 1)]),
      )
    }
    if (Array.isArray(value)) return value.map(item => visit(item, depth + 1))
    if (typeof value !== 'object' || value === null || value instanceof Uint8Array) {
      return value as TorchValue
    }
    throw new FormatError(`${name}: the pickle leaves a storage or a type where data should be`, {
      path: name,
    })
  }
  const visit = (value: unknown, depth: number): TorchValue => {
    if (typeof value !== 'object' || value === null) return convert(value, depth)
    const known = done.get(value)
    if (known !== undefined) return known
    const converted = convert(value, depth)
    done.set(value, converted)
    return converted
  }
  return visit(root, 0)
}

function checkSize(name: string, found: number, wanted: number, what: string): void {
  if (found <= wanted) return
  throw new FormatError(`${name}: ${what} take ${found} bytes, at most ${wanted} are read`, {
    path: name,
    found,
    wanted,
  })
}
