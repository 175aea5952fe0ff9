/** One event of a TensorBoard event file. */
export interface ScalarEvent {
  /** when it happened, seconds since 1970 */
  readonly wallSeconds: number
  readonly step: number
  /** numbers by tag */
  readonly scalars: Readonly<Record<string, number>>
}

const CASTAGNOLI = 0x82f63b78
const table = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ CASTAGNOLI : crc >>> 1
  return crc
})

/** CRC-32C (Castagnoli), the checksum of TFRecord files. */
function crc32c(bytes: Uint8Array): number {
  let crc = 0xffffffff
  for (const byte of bytes) crc = table[(crc ^ byte) & 255]! ^ (crc >>> 8)
  return (crc ^ 0xffffffff) >>> 0
}

/** TFRecord stores checksums rotated and shifted, since its data may hold checksums itself. */
const masked = (bytes: Uint8Array): Uint8Array => {
  const crc = crc32c(bytes)
  const four = Buffer.alloc(4)
  four.writeUInt32LE((((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0)
  return four
}

/** One record of an event file: length, data, and a checksum of each. */
function toRecord(data: Uint8Array): Uint8Array {
  const length = Buffer.alloc(8)
  length.writeBigUInt64LE(BigInt(data.length))
  return Buffer.concat([length, masked(length), data, masked(data)])
}

const VARINT = 0
const FIXED64 = 1
const BYTES = 2
const FIXED32 = 5

function varint(value: number): number[] {
  const bytes: number[] = []
  for (; value > 127; value = Math.floor(value / 128)) bytes.push((value % 128) | 128)
  return [...bytes, value]
}

/** A protocol buffer field: number, wire type, payload. */
const field = (number: number, wire: number, payload: Uint8Array | readonly number[]): Buffer =>
  Buffer.from([...varint(number * 8 + wire), ...payload])

const sized = (number: number, payload: Uint8Array): Buffer =>
  field(number, BYTES, [...varint(payload.length), ...payload])

function float64(value: number): Buffer {
  const bytes = Buffer.alloc(8)
  bytes.writeDoubleLE(value)
  return bytes
}

function float32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeFloatLE(value)
  return bytes
}

/**
 * What to append to an event file for one step; The layout is
 * TensorFlow's event.proto: wall_time 1, step 2, file_version 3, summary 5 { value 1 { tag 1,
 * simple_value 2 } }, in TFRecord framing.
 */
export function encodeEvent({ wallSeconds, step, scalars }: ScalarEvent): Uint8Array {
  const values = Object.entries(scalars).map(([tag, value]) =>
    sized(1, Buffer.concat([sized(1, Buffer.from(tag)), field(2, FIXED32, float32(value))])),
  )
  const parts = [field(1, FIXED64, float64(wallSeconds)), field(2, VARINT, varint(step))]
  return toRecord(Buffer.concat([...parts, sized(5, Buffer.concat(values))]))
}

/** The first record of an event file. */
export const encodeEventStart = (wallSeconds: number): Uint8Array =>
  toRecord(
    Buffer.concat([
      field(1, FIXED64, float64(wallSeconds)),
      sized(3, Buffer.from('brain.Event:2')),
    ]),
  )
