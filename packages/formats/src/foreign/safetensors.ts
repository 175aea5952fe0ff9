import { FormatError } from '@deepfever/core'
import { openCursor, textOf } from './cursor.ts'
import type { Cursor } from './cursor.ts'
import { bytesOf, decodeValues, elementCount, encodeValues } from './tensor.ts'
import type { Dtype, StateDict, Tensor } from './tensor.ts'

/** A safetensors file: tensors by name, and free text about them. */
export interface Safetensors {
  readonly tensors: StateDict
  readonly metadata: ReadonlyMap<string, string>
}

/** The format's own limit for its header. */
const HEADER_LIMIT_BYTES = 100_000_000
const METADATA = '__metadata__'

const dtypes: ReadonlyMap<string, Dtype> = new Map([
  ['F64', 'float64'],
  ['F32', 'float32'],
  ['F16', 'float16'],
  ['BF16', 'bfloat16'],
  ['I64', 'int64'],
  ['I32', 'int32'],
  ['I16', 'int16'],
  ['I8', 'int8'],
  ['U64', 'uint64'],
  ['U32', 'uint32'],
  ['U16', 'uint16'],
  ['U8', 'uint8'],
  ['BOOL', 'bool'],
])

const codes: ReadonlyMap<Dtype, string> = new Map([...dtypes].map(([code, dtype]) => [dtype, code]))

/**
 * Reads a safetensors file: 64-bit header length, JSON header, elements without gaps.
 *
 * @param name the file's name in errors
 * @throws FormatError naming file and tensor: cut off, unknown type, gaps or overlaps
 */
export function decodeSafetensors(bytes: Uint8Array, name: string): Safetensors {
  const cursor = openCursor(name, bytes)
  const headerBytes = cursor.count64()
  if (headerBytes > HEADER_LIMIT_BYTES) {
    cursor.at = 0
    throw cursor.fail(`a header of ${headerBytes} bytes, at most ${HEADER_LIMIT_BYTES} are read`)
  }
  const header = parseHeader(cursor, textOf(cursor, cursor.take(headerBytes)))
  const data = bytes.subarray(cursor.at)
  const tensors = new Map<string, Tensor>()
  let end = 0
  const places = Object.entries(header)
    .filter(([key]) => key !== METADATA)
    .map(([key, value]) => ({ key, ...parseEntry(cursor, key, value) }))
  for (const { key, dtype, shape, from, to } of places.sort(
    (a, b) => a.from - b.from || a.to - b.to,
  )) {
    const wanted = elementCount(shape) * bytesOf(dtype)
    if (from !== end || to - from !== wanted) {
      throw cursor.fail(
        `tensor ${key} stands at bytes ${from} to ${to}, expected ${end} to ${end + wanted}`,
        { tensor: key, found: [from, to], wanted: [end, end + wanted] },
      )
    }
    end = to
    if (to > data.byteLength) {
      throw cursor.fail(
        `cut off: tensor ${key} ends at byte ${to} of the data, which has ${data.byteLength}; fetch the file again`,
        { tensor: key, found: data.byteLength, wanted: to },
      )
    }
    tensors.set(key, { shape, dtype, values: decodeValues(dtype, data.subarray(from, to)) })
  }
  if (end !== data.byteLength) {
    throw cursor.fail(`${data.byteLength - end} bytes stand after the last tensor`)
  }
  return { tensors, metadata: parseMetadata(cursor, header[METADATA]) }
}

/**
 * The bytes of a safetensors file. Equal input gives equal bytes: tensors by falling element size,
 * then by name; metadata by name; the header padded to 8 bytes, so that every tensor is aligned.
 */
export function encodeSafetensors(
  tensors: StateDict,
  metadata: Readonly<Record<string, string>> = {},
): Uint8Array {
  const sorted = [...tensors].sort(
    ([a, { dtype: x }], [b, { dtype: y }]) => bytesOf(y) - bytesOf(x) || compareText(a, b),
  )
  const header: [string, unknown][] = []
  if (Object.keys(metadata).length > 0) {
    const entries = Object.entries(metadata).sort(([a], [b]) => compareText(a, b))
    header.push([METADATA, Object.fromEntries(entries)])
  }
  let end = 0
  for (const [key, { dtype, shape, values }] of sorted) {
    if (key === METADATA || values.length !== elementCount(shape)) {
      throw new FormatError(
        `tensor ${key} has ${values.length} values, its shape [${shape.join(', ')}] takes ${elementCount(shape)}`,
        { tensor: key, found: values.length, wanted: elementCount(shape) },
      )
    }
    const from = end
    end += values.length * bytesOf(dtype)
    header.push([key, { dtype: codes.get(dtype), shape, data_offsets: [from, end] }])
  }
  const text = `{${header.map(([key, value]) => `${JSON.stringify(key)}:${JSON.stringify(value)}`).join(',')}}`
  const json = Buffer.from(text)
  const headerBytes = Math.ceil(json.byteLength / 8) * 8
  const bytes = Buffer.alloc(8 + headerBytes + end, ' ')
  bytes.writeBigUInt64LE(BigInt(headerBytes))
  bytes.set(json, 8)
  let at = 8 + headerBytes
  for (const [, { dtype, values }] of sorted) {
    bytes.set(encodeValues(dtype, values), at)
    at += values.length * bytesOf(dtype)
  }
  return bytes
}

function parseHeader(cursor: Cursor, text: string): Readonly<Record<string, unknown>> {
  try {
    const header: unknown = JSON.parse(text)
    if (isRecord(header)) return header
  } catch {
    // Reported below: a header that is JSON but no object is as wrong as one that is no JSON.
  }
  throw cursor.fail('the header is no JSON object, so no safetensors file')
}

function parseEntry(cursor: Cursor, key: string, value: unknown) {
  const entry = isRecord(value) ? value : {}
  const dtype = dtypes.get(String(entry['dtype']))
  const { shape, data_offsets: offsets } = entry
  if (dtype === undefined) {
    throw cursor.fail(`tensor ${key} has the type ${String(entry['dtype'])}, which is not read`, {
      tensor: key,
      found: entry['dtype'],
    })
  }
  if (!isCounts(shape) || !isCounts(offsets) || offsets.length !== 2) {
    throw cursor.fail(`tensor ${key} has no shape and data_offsets`, { tensor: key })
  }
  return { dtype, shape, from: offsets[0]!, to: offsets[1]! }
}

function parseMetadata(cursor: Cursor, value: unknown): Map<string, string> {
  if (value === undefined) return new Map()
  const entries = isRecord(value) ? Object.entries(value) : []
  if (!isRecord(value) || entries.some(([, text]) => typeof text !== 'string')) {
    throw cursor.fail(`${METADATA} is no object of texts`)
  }
  return new Map(entries as [string, string][])
}

const compareText = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0)

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

const isCounts = (value: unknown): value is number[] =>
  Array.isArray(value) && value.every(n => Number.isSafeInteger(n) && n >= 0)
