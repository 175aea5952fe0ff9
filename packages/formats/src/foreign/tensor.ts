/** Element types, by their PyTorch names. */
export type Dtype = keyof typeof layouts

/** Elements of a tensor. float16 and bfloat16 are widened to float32 (exact), bool is 0 or 1. */
export type TensorValues =
  | Float64Array
  | Float32Array
  | BigInt64Array
  | BigUint64Array
  | Int32Array
  | Int16Array
  | Int8Array
  | Uint8Array
  | Uint16Array
  | Uint32Array

/** A tensor at rest: contiguous, last dimension fastest; `dtype` is what the file holds. */
export interface Tensor {
  readonly shape: readonly number[]
  readonly dtype: Dtype
  readonly values: TensorValues
}

/** Tensors by their PyTorch state-dict names, in PyTorch layout, in the order of the file. */
export type StateDict = ReadonlyMap<string, Tensor>

/** Order of the bytes of one element in a file. */
export type ByteOrder = 'little' | 'big'

/** Bytes an element takes in a file, and the array that holds the elements in memory. */
const layouts = {
  float64: { bytes: 8, allocate: (n: number): TensorValues => new Float64Array(n) },
  float32: { bytes: 4, allocate: (n: number): TensorValues => new Float32Array(n) },
  float16: { bytes: 2, allocate: (n: number): TensorValues => new Float32Array(n) },
  bfloat16: { bytes: 2, allocate: (n: number): TensorValues => new Float32Array(n) },
  int64: { bytes: 8, allocate: (n: number): TensorValues => new BigInt64Array(n) },
  int32: { bytes: 4, allocate: (n: number): TensorValues => new Int32Array(n) },
  int16: { bytes: 2, allocate: (n: number): TensorValues => new Int16Array(n) },
  int8: { bytes: 1, allocate: (n: number): TensorValues => new Int8Array(n) },
  uint64: { bytes: 8, allocate: (n: number): TensorValues => new BigUint64Array(n) },
  uint32: { bytes: 4, allocate: (n: number): TensorValues => new Uint32Array(n) },
  uint16: { bytes: 2, allocate: (n: number): TensorValues => new Uint16Array(n) },
  uint8: { bytes: 1, allocate: (n: number): TensorValues => new Uint8Array(n) },
  bool: { bytes: 1, allocate: (n: number): TensorValues => new Uint8Array(n) },
} as const

/** Bytes of one element of `dtype` in a file. */
export const bytesOf = (dtype: Dtype): number => layouts[dtype].bytes

/** Product of the dimensions; 1 for a scalar. */
export const elementCount = (shape: readonly number[]): number => shape.reduce((n, d) => n * d, 1)

/** Elements of `dtype` from their bytes in a file (a copy). `bytes` holds whole elements. */
export function decodeValues(
  dtype: Dtype,
  bytes: Uint8Array,
  order: ByteOrder = 'little',
): TensorValues {
  const { bytes: width, allocate } = layouts[dtype]
  const count = bytes.byteLength / width
  const widened = dtype === 'float16' || dtype === 'bfloat16'
  const values = widened ? new Uint16Array(count) : allocate(count)
  const copy = Buffer.from(values.buffer)
  copy.set(bytes)
  if (order === 'big') swapBytes(copy, width)
  if (!widened) return values
  const widen = dtype === 'float16' ? widenHalf : widenBfloat16
  return Float32Array.from(values as Uint16Array, widen)
}

/** Little-endian bytes of `values` as elements of `dtype`; float16 and bfloat16 round to even. */
export function encodeValues(dtype: Dtype, values: TensorValues): Uint8Array {
  if (dtype === 'float16' || dtype === 'bfloat16') {
    const narrow = dtype === 'float16' ? narrowHalf : narrowBfloat16
    return new Uint8Array(Uint16Array.from(values as Float32Array, narrow).buffer)
  }
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength)
}

/** Copies the view (`offset`, `shape`, `strides`, in elements) of `values` into C order. */
export function gather(
  values: TensorValues,
  offset: number,
  shape: readonly number[],
  strides: readonly number[],
): TensorValues {
  const count = elementCount(shape)
  if (isContiguous(shape, strides)) return values.slice(offset, offset + count)
  const from = values as Float32Array
  const to = new (values.constructor as Float32ArrayConstructor)(count)
  const index = shape.map(() => 0)
  let at = offset
  for (let i = 0; i < count; i++) {
    to[i] = from[at]!
    for (let d = shape.length - 1; d >= 0; d--) {
      at += strides[d]!
      if (++index[d]! < shape[d]!) break
      at -= strides[d]! * shape[d]!
      index[d] = 0
    }
  }
  return to
}

/** The value of a float16's bits. */
function widenHalf(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1
  const exponent = (bits >> 10) & 31
  const fraction = bits & 1023
  if (exponent === 0) return sign * fraction * 2 ** -24
  if (exponent === 31) return fraction === 0 ? sign * Infinity : NaN
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15)
}

/** The float16 bits nearest to `value`, ties to even; too large becomes infinity. */
function narrowHalf(value: number): number {
  const sign = value < 0 || Object.is(value, -0) ? 0x8000 : 0
  const size = Math.abs(value)
  if (Number.isNaN(value)) return 0x7e00
  if (size >= 65520) return sign | 0x7c00
  if (size < 2 ** -14) return sign | roundEven(size * 2 ** 24)
  const exponent = Math.floor(Math.log2(size))
  // A fraction that rounds up to 1024 carries into the exponent by plain addition.
  return sign | (((exponent + 15) << 10) + roundEven((size / 2 ** exponent - 1) * 1024))
}

const widenBfloat16 = (bits: number): number =>
  new Float32Array(Uint32Array.of(bits << 16).buffer)[0]!

function narrowBfloat16(value: number): number {
  if (Number.isNaN(value)) return 0x7fc0
  const bits = new Uint32Array(Float32Array.of(value).buffer)[0]!
  return (bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16
}

function roundEven(value: number): number {
  const floor = Math.floor(value)
  const rest = value - floor
  if (rest !== 0.5) return Math.round(value)
  return floor % 2 === 0 ? floor : floor + 1
}

function isContiguous(shape: readonly number[], strides: readonly number[]): boolean {
  let expected = 1
  for (let d = shape.length - 1; d >= 0; d--) {
    if (shape[d] !== 1 && strides[d] !== expected) return false
    expected *= shape[d]!
  }
  return true
}

function swapBytes(bytes: Buffer, width: number): void {
  if (width === 2) bytes.swap16()
  if (width === 4) bytes.swap32()
  if (width === 8) bytes.swap64()
}
