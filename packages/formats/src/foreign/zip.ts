import { crc32, inflateRawSync } from 'node:zlib'
import { openCursor, textOf } from './cursor.ts'
import type { Cursor } from './cursor.ts'

/** A zip archive in memory; `read` gives an entry's bytes, its checksum compared. */
export interface Zip {
  readonly names: readonly string[]
  has(name: string): boolean
  read(name: string): Uint8Array
}

/** What an archive may ask for before it is refused. */
export interface ZipLimits {
  readonly entries: number
  /** sum of the entries' sizes once inflated */
  readonly sizeBytes: number
}

interface Entry {
  readonly flags: number
  readonly method: number
  readonly crc: number
  readonly packedBytes: number
  readonly sizeBytes: number
  readonly headerAt: number
}

const END = 0x06054b50
const END_BYTES = 22
const END64 = 0x06064b50
const LOCATOR64 = 0x07064b50
const LOCATOR64_BYTES = 20
const CENTRAL = 0x02014b50
const LOCAL = 0x04034b50
const SATURATED = 0xffffffff
const STORED = 0
const DEFLATED = 8

/**
 * Opens a zip archive (PKWARE APPNOTE 6.3.10, zip64 included; stored and deflated entries).
 *
 * @throws FormatError naming file and place: cut off, encrypted, twice the same name, over a limit
 */
export function openZip(name: string, bytes: Uint8Array, limits: ZipLimits): Zip {
  const entries = readDirectory(name, bytes, limits)
  return {
    names: [...entries.keys()],
    has: entry => entries.has(entry),
    read(entryName) {
      const entry = entries.get(entryName)
      const cursor = openCursor(name, bytes, entry?.headerAt ?? 0)
      if (entry === undefined) throw cursor.fail(`the archive has no entry ${entryName}`)
      return readEntry(cursor, entryName, entry)
    },
  }
}

function readEntry(cursor: Cursor, name: string, entry: Entry): Uint8Array {
  if (cursor.uint32() !== LOCAL) throw cursor.fail(`entry ${name} has no header here`)
  cursor.take(22)
  const nameBytes = cursor.uint16()
  cursor.take(nameBytes + cursor.uint16())
  const packed = cursor.take(entry.packedBytes)
  const found = entry.method === STORED ? packed : inflate(cursor, name, packed, entry.sizeBytes)
  if (found.byteLength !== entry.sizeBytes) {
    throw cursor.fail(
      `entry ${name} holds ${found.byteLength} bytes, ${entry.sizeBytes} are declared`,
      { entry: name, found: found.byteLength, wanted: entry.sizeBytes },
    )
  }
  if (crc32(found) !== entry.crc) {
    throw cursor.fail(`entry ${name} is damaged: its checksum differs; fetch the file again`, {
      entry: name,
    })
  }
  return found
}

function inflate(cursor: Cursor, name: string, packed: Uint8Array, sizeBytes: number): Uint8Array {
  try {
    return inflateRawSync(packed, { maxOutputLength: Math.max(1, sizeBytes) })
  } catch (thrown) {
    throw cursor.fail(`entry ${name} does not inflate to ${sizeBytes} bytes: ${String(thrown)}`, {
      entry: name,
    })
  }
}

function readDirectory(name: string, bytes: Uint8Array, limits: ZipLimits): Map<string, Entry> {
  const { count, at } = findDirectory(name, bytes)
  const cursor = openCursor(name, bytes, at)
  if (count > limits.entries) {
    throw cursor.fail(`${count} entries, at most ${limits.entries} are read`, { found: count })
  }
  const entries = new Map<string, Entry>()
  let totalBytes = 0
  for (let i = 0; i < count; i++) {
    const { entryName, entry } = readCentral(cursor)
    if (entries.has(entryName)) throw cursor.fail(`entry ${entryName} stands twice`)
    totalBytes += entry.sizeBytes
    if (totalBytes > limits.sizeBytes) {
      throw cursor.fail(
        `the entries ask for ${totalBytes} bytes, at most ${limits.sizeBytes} are read`,
        { found: totalBytes, wanted: limits.sizeBytes },
      )
    }
    entries.set(entryName, entry)
  }
  return entries
}

function readCentral(cursor: Cursor): { entryName: string; entry: Entry } {
  if (cursor.uint32() !== CENTRAL) throw cursor.fail("the archive's directory is damaged")
  cursor.take(4)
  const flags = cursor.uint16()
  const method = cursor.uint16()
  cursor.take(4)
  const crc = cursor.uint32()
  const sizes = { packed: cursor.uint32(), size: cursor.uint32() }
  const nameBytes = cursor.uint16()
  const extraBytes = cursor.uint16()
  const commentBytes = cursor.uint16()
  cursor.take(8)
  const headerAt = cursor.uint32()
  const entryName = textOf(cursor, cursor.take(nameBytes))
  const wide = openWide(cursor.name, cursor.take(extraBytes))
  cursor.take(commentBytes)
  // The fields of a zip64 record stand in this order, each only when its narrow form is saturated.
  const sizeBytes = sizes.size === SATURATED ? wide() : sizes.size
  const packedBytes = sizes.packed === SATURATED ? wide() : sizes.packed
  const entry = {
    flags,
    method,
    crc,
    sizeBytes,
    packedBytes,
    headerAt: headerAt === SATURATED ? wide() : headerAt,
  }
  if (flags & 1) throw cursor.fail(`entry ${entryName} is encrypted`)
  if (method !== STORED && method !== DEFLATED) {
    throw cursor.fail(`entry ${entryName} has compression ${method}, expected 0 or 8 (deflate)`)
  }
  return { entryName, entry }
}

/** Reads the zip64 extra field's numbers one after the other. */
function openWide(name: string, extra: Uint8Array): () => number {
  const cursor = openCursor(`${name} (zip64 record)`, extra)
  while (cursor.at < cursor.length) {
    const id = cursor.uint16()
    const field = cursor.take(cursor.uint16())
    if (id !== 1) continue
    const wide = openCursor(`${name} (zip64 record)`, field)
    return () => wide.count64()
  }
  return () => {
    throw cursor.fail('a size is saturated and the zip64 record is missing')
  }
}

function findDirectory(name: string, bytes: Uint8Array): { count: number; at: number } {
  const end = findEnd(name, bytes)
  const cursor = openCursor(name, bytes, end + 10)
  const count = cursor.uint16()
  const size = cursor.uint32()
  const at = cursor.uint32()
  const locator = end - LOCATOR64_BYTES
  if (locator >= 0) {
    const wide = openCursor(name, bytes, locator)
    if (wide.uint32() === LOCATOR64) {
      wide.take(4)
      wide.at = wide.count64()
      if (wide.uint32() !== END64) throw wide.fail('the zip64 end record is missing')
      wide.take(28)
      const wideCount = wide.count64()
      wide.take(8)
      return { count: wideCount, at: wide.count64() }
    }
  }
  if (at + size > end) {
    cursor.at = end
    throw cursor.fail("the archive's directory lies outside the file; fetch the file again")
  }
  return { count, at }
}

/** The end record: 22 bytes and a comment of at most 65,535 at the end of the file. */
function findEnd(name: string, bytes: Uint8Array): number {
  const last = bytes.byteLength - END_BYTES
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  for (let at = last; at >= Math.max(0, last - 0xffff); at--) {
    if (
      view.getUint32(at, true) === END &&
      at + END_BYTES + view.getUint16(at + 20, true) === bytes.byteLength
    )
      return at
  }
  const cursor = openCursor(name, bytes, bytes.byteLength)
  throw cursor.fail("cut off: the archive's directory is missing at the end; fetch the file again")
}
