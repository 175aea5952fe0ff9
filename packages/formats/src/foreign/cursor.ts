import { FormatError } from '@deepfever/core'

/** A place in a file's bytes; reading past the end is a FormatError that names file and place. */
export interface Cursor {
  readonly name: string
  readonly length: number
  at: number
  take(count: number): Uint8Array
  byte(): number
  uint16(): number
  int32(): number
  uint32(): number
  /** an unsigned 64-bit count or place; refused above 2^53 */
  count64(): number
  float64BigEndian(): number
  /** bytes up to `end`, which is consumed and left out */
  until(end: number): Uint8Array
  fail(reason: string, fields?: Readonly<Record<string, unknown>>): FormatError
}

/** Opens `bytes` of the file `name` at the place `at`. */
export function openCursor(name: string, bytes: Uint8Array, at = 0): Cursor {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const fail = (reason: string, fields: Readonly<Record<string, unknown>> = {}) =>
    new FormatError(`${name}: at byte ${cursor.at}: ${reason}`, {
      path: name,
      byte: cursor.at,
      ...fields,
    })
  const advance = (count: number): number => {
    const start = cursor.at
    if (count > bytes.byteLength - start) {
      throw fail(
        `cut off: ${count} bytes wanted, ${Math.max(0, bytes.byteLength - start)} left; fetch the file again`,
        { wanted: count, found: Math.max(0, bytes.byteLength - start) },
      )
    }
    cursor.at += count
    return start
  }
  const cursor: Cursor = {
    name,
    length: bytes.byteLength,
    at,
    take: count => {
      const start = advance(count)
      return bytes.subarray(start, start + count)
    },
    byte: () => view.getUint8(advance(1)),
    uint16: () => view.getUint16(advance(2), true),
    int32: () => view.getInt32(advance(4), true),
    uint32: () => view.getUint32(advance(4), true),
    count64() {
      const value = view.getBigUint64(advance(8), true)
      if (value > BigInt(Number.MAX_SAFE_INTEGER)) {
        cursor.at -= 8
        throw fail(`${value} is no count of bytes or elements`, { found: String(value) })
      }
      return Number(value)
    },
    float64BigEndian: () => view.getFloat64(advance(8), false),
    until(end) {
      const stop = bytes.indexOf(end, cursor.at)
      if (stop < 0) throw fail('cut off: the end of a line is missing; fetch the file again')
      const taken = bytes.subarray(cursor.at, stop)
      cursor.at = stop + 1
      return taken
    },
    fail,
  }
  return cursor
}

/** UTF-8 text, or an error of `cursor` when the bytes are not UTF-8. */
export function textOf(cursor: Cursor, bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch {
    throw cursor.fail('a text is not UTF-8')
  }
}
