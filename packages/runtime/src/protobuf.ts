/** A protobuf message as pieces, so that what it holds is copied once, when it is joined. */
export interface Message {
  readonly pieces: readonly Uint8Array[]
  readonly size: number
}

const VARINT = 0
const BYTES = 2
const FIXED32 = 5

/** A message of these fields, in order. */
export function message(...fields: readonly Message[]): Message {
  const pieces: Uint8Array[] = []
  let size = 0
  for (const field of fields) {
    for (const piece of field.pieces) pieces.push(piece)
    size += field.size
  }
  return { pieces, size }
}

/** Bytes as they are. */
export const raw = (bytes: Uint8Array): Message => ({ pieces: [bytes], size: bytes.length })

function varint(value: number): Uint8Array {
  let rest = BigInt.asUintN(64, BigInt(value))
  const bytes: number[] = []
  do {
    const low = Number(rest & 0x7fn)
    rest >>= 7n
    bytes.push(rest === 0n ? low : low | 0x80)
  } while (rest !== 0n)
  return Uint8Array.from(bytes)
}

const tag = (field: number, wire: number): Message => raw(varint((field << 3) | wire))

/** A whole number, as protobuf's int32, int64, bool and enum are written. */
export const whole = (field: number, value: number): Message =>
  message(tag(field, VARINT), raw(varint(value)))

/** A repeated whole number, one field each. */
export const wholes = (field: number, values: readonly number[]): Message =>
  message(...values.map(value => whole(field, value)))

/** A message inside a message, or bytes. */
export const nested = (field: number, inner: Message): Message =>
  message(tag(field, BYTES), raw(varint(inner.size)), inner)

/** A string. */
export const text = (field: number, value: string): Message =>
  nested(field, raw(new TextEncoder().encode(value)))

/** A float32. */
export function float(field: number, value: number): Message {
  const bytes = new Uint8Array(4)
  new DataView(bytes.buffer).setFloat32(0, value, true)
  return message(tag(field, FIXED32), raw(bytes))
}

/** The bytes of a message. */
export function join({ pieces, size }: Message): Uint8Array {
  const bytes = new Uint8Array(size)
  let offset = 0
  for (const piece of pieces) {
    bytes.set(piece, offset)
    offset += piece.length
  }
  return bytes
}
