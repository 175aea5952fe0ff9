import { FormatError } from '@deepfever/core'
import { openCursor } from './cursor.ts'
import type { Cursor } from './cursor.ts'
import { bytesOf, decodeValues, elementCount, encodeValues, gather } from './tensor.ts'
import type { ByteOrder, Dtype, TensorValues } from './tensor.ts'

/** A NumPy array in C order; text of `<U` and `|S` arrays without its trailing zeros. */
export interface NpyArray {
  readonly shape: readonly number[]
  readonly values: TensorValues | readonly string[]
}

interface NpyHeader {
  readonly descr: string
  readonly fortran: boolean
  readonly shape: readonly number[]
}

const MAGIC = '\u0093NUMPY'
/** NumPy itself refuses longer headers unless told otherwise (`max_header_size`). */
const HEADER_LIMIT_BYTES = 10_000
const ALIGNMENT = 64

const dtypes: ReadonlyMap<string, Dtype> = new Map([
  ['f8', 'float64'],
  ['f4', 'float32'],
  ['f2', 'float16'],
  ['i8', 'int64'],
  ['i4', 'int32'],
  ['i2', 'int16'],
  ['i1', 'int8'],
  ['u8', 'uint64'],
  ['u4', 'uint32'],
  ['u2', 'uint16'],
  ['u1', 'uint8'],
  ['b1', 'bool'],
])

/**
 * Reads a `.npy` file, versions 1 to 3: numbers, bools and text of any shape (0-d included), either
 * byte order, C or Fortran order. Pickled objects, records and dates are refused.
 *
 * @param name the file's name in errors
 * @throws FormatError naming file, place, found and wanted
 */
export function decodeNpy(bytes: Uint8Array, name: string): NpyArray {
  const cursor = openCursor(name, bytes)
  const { descr, fortran, shape } = readHeader(cursor)
  const match = /^([<>|=])([a-zA-Z])(\d+)$/.exec(descr)
  if (match === null || match[2] === 'O') {
    throw cursor.fail(
      descr === '|O'
        ? 'pickled Python objects, which are not read; save numbers or text'
        : `an array of ${descr}, which is not read`,
      { found: descr },
    )
  }
  const order: ByteOrder = match[1] === '>' ? 'big' : 'little'
  const kind = match[2]!
  const size = Number(match[3])
  const count = elementCount(shape)
  if ((kind === 'U' || kind === 'S') && size > 0) {
    const unitBytes = kind === 'U' ? 4 : 1
    const units = readAll(cursor, count * size, kind === 'U' ? 'uint32' : 'uint8', order)
    cursor.at -= count * size * unitBytes
    const texts = Array.from({ length: count }, (_, i) =>
      toText(cursor, units as Uint32Array, i * size, size),
    )
    if (!fortran) return { shape, values: texts }
    const places = gather(Int32Array.from(texts.keys()), 0, shape, fortranStrides(shape))
    return { shape, values: Array.from(places as Int32Array, place => texts[place]!) }
  }
  const dtype = dtypes.get(`${kind}${size}`)
  if (dtype === undefined)
    throw cursor.fail(`an array of ${descr}, which is not read`, { found: descr })
  const values = readAll(cursor, count, dtype, order)
  return { shape, values: fortran ? gather(values, 0, shape, fortranStrides(shape)) : values }
}

/** The bytes of a version 1 `.npy` file: float32, float64, int32, int64, uint8, or `<U` text. */
export function encodeNpy({ shape, values }: NpyArray): Uint8Array {
  if (values.length !== elementCount(shape)) {
    throw new FormatError(
      `an array [${shape.join(', ')}] takes ${elementCount(shape)} values, found ${values.length}`,
      { found: values.length, wanted: elementCount(shape) },
    )
  }
  const { descr, data } = encodeElements(values)
  const tuple = shape.length === 1 ? `${shape[0]},` : shape.join(', ')
  const dict = `{'descr': '${descr}', 'fortran_order': False, 'shape': (${tuple}), }`
  const headerBytes = Math.ceil((10 + dict.length + 1) / ALIGNMENT) * ALIGNMENT - 10
  const head = Buffer.alloc(10)
  head.write(MAGIC, 'latin1')
  head.set([1, 0], 6)
  head.writeUInt16LE(headerBytes, 8)
  return Buffer.concat([head, Buffer.from(`${dict.padEnd(headerBytes - 1)}\n`), data])
}

function encodeElements(values: NpyArray['values']): { descr: string; data: Uint8Array } {
  if (values instanceof Float64Array) return { descr: '<f8', data: encodeValues('float64', values) }
  if (values instanceof Float32Array) return { descr: '<f4', data: encodeValues('float32', values) }
  if (values instanceof BigInt64Array) return { descr: '<i8', data: encodeValues('int64', values) }
  if (values instanceof Int32Array) return { descr: '<i4', data: encodeValues('int32', values) }
  if (values instanceof Uint8Array) return { descr: '|u1', data: values }
  if (!Array.isArray(values)) throw new FormatError(`no .npy type for ${values.constructor.name}`)
  const points = (values as readonly string[]).map(text => [...text].map(c => c.codePointAt(0)!))
  const size = Math.max(1, ...points.map(text => text.length))
  const units = new Uint32Array(points.length * size)
  points.forEach((text, i) => units.set(text, i * size))
  return { descr: `<U${size}`, data: encodeValues('uint32', units) }
}

function readHeader(cursor: Cursor): NpyHeader {
  if (Buffer.from(cursor.take(6)).toString('latin1') !== MAGIC) {
    cursor.at = 0
    throw cursor.fail('does not begin as a .npy file does')
  }
  const version = cursor.byte()
  cursor.byte()
  if (version < 1 || version > 3) throw cursor.fail(`.npy version ${version}, expected 1 to 3`)
  const headerBytes = version === 1 ? cursor.uint16() : cursor.uint32()
  if (headerBytes > HEADER_LIMIT_BYTES) {
    throw cursor.fail(`a header of ${headerBytes} bytes, at most ${HEADER_LIMIT_BYTES} are read`)
  }
  const at = cursor.at
  const text = Buffer.from(cursor.take(headerBytes)).toString('utf8')
  const descr = /'descr':\s*'([^']*)'/.exec(text)?.[1]
  const fortran = /'fortran_order':\s*(True|False)/.exec(text)?.[1]
  const tuple = /'shape':\s*\(([\d,\sL]*)\)/.exec(text)?.[1]
  if (descr === undefined || fortran === undefined || tuple === undefined) {
    cursor.at = at
    throw cursor.fail(
      `a header without plain descr, fortran_order and shape: ${text.trim().slice(0, 120)}`,
    )
  }
  const shape = (tuple.match(/\d+/g) ?? []).map(Number)
  if (!Number.isSafeInteger(elementCount(shape)))
    throw cursor.fail(`the shape (${tuple}) is too large`)
  return { descr, fortran: fortran === 'True', shape }
}

function readAll(cursor: Cursor, count: number, dtype: Dtype, order: ByteOrder): TensorValues {
  const values = decodeValues(dtype, cursor.take(count * bytesOf(dtype)), order)
  if (cursor.at !== cursor.length) {
    throw cursor.fail(`${cursor.length - cursor.at} bytes stand after the array`)
  }
  return values
}

function toText(cursor: Cursor, units: Uint32Array | Uint8Array, at: number, size: number): string {
  let end = at + size
  while (end > at && units[end - 1] === 0) end--
  const points = [...units.subarray(at, end)]
  if (points.some(point => point > 0x10ffff))
    throw cursor.fail('a text has a character past U+10FFFF')
  return String.fromCodePoint(...points)
}

/** Strides of an array that is stored with its first dimension fastest. */
function fortranStrides(shape: readonly number[]): number[] {
  return shape.map((_, d) => elementCount(shape.slice(0, d)))
}
