import { open, type FileHandle } from 'node:fs/promises'
import { FormatError } from '@deepfever/core'

/** A file inside a tar file. */
export interface TarMember {
  readonly name: string
  /** byte at which it begins */
  readonly start: number
  readonly sizeBytes: number
}

const BLOCK = 512
/** Names are never longer; a header that says so is damaged. */
const NAME_LIMIT = 65_536

const textOf = (header: Buffer, from: number, length: number): string =>
  header.toString('utf8', from, from + length).replace(/\0.*$/s, '')

/** Octal digits, or GNU's big-endian binary behind a set top bit. */
function numberOf(header: Buffer, from: number, length: number): number {
  if (header[from]! & 0x80) return Number(header.readBigUInt64BE(from + length - 8))
  const digits = textOf(header, from, length).trim()
  return /^[0-7]*$/.test(digits) ? parseInt(digits || '0', 8) : NaN
}

/** The sum of all bytes, those of the checksum itself as spaces. */
function checksumOf(header: Buffer): number {
  let sum = 0
  for (let i = 0; i < BLOCK; i++) sum += i >= 148 && i < 156 ? 32 : header[i]!
  return sum
}

/** `length key=value` records of a pax header. */
function paxOf(data: Buffer): ReadonlyMap<string, string> {
  const records = new Map<string, string>()
  for (let at = 0; at < data.length;) {
    const space = data.indexOf(0x20, at)
    const length = space < 0 ? NaN : Number(data.toString('latin1', at, space))
    if (!(length > 0) || at + length > data.length) break
    const [key = '', ...value] = data.toString('utf8', space + 1, at + length - 1).split('=')
    records.set(key, value.join('='))
    at += length
  }
  return records
}

/**
 * Lists the files in a tar file (ustar, GNU, pax) by reading its headers only. Links, folders and
 * devices are passed over.
 *
 * @throws FormatError naming the byte at which it is damaged or cut off
 */
export async function* listTar(path: string): AsyncGenerator<TarMember> {
  const file = await open(path, 'r')
  try {
    yield* membersOf(file, path, (await file.stat()).size)
  } finally {
    await file.close()
  }
}

async function* membersOf(file: FileHandle, path: string, sizeBytes: number) {
  const fail = (at: number, found: string, wanted: string): never => {
    throw new FormatError(`${path}: byte ${at}: found ${found}, wanted ${wanted}`, {
      ...{ path, at, found, wanted },
    })
  }
  const read = async (at: number, length: number) => {
    const data = Buffer.alloc(length)
    const { bytesRead } = await file.read(data, 0, length, at)
    return bytesRead === length ? data : fail(at, `${bytesRead} bytes`, `${length}: it is cut off`)
  }
  let next: { name?: string | undefined; size?: number | undefined } = {}
  for (let at = 0; at < sizeBytes;) {
    const header = await read(at, BLOCK)
    if (header.every(byte => byte === 0)) return
    if (numberOf(header, 148, 8) !== checksumOf(header))
      fail(at, 'no tar header (its checksum is wrong)', 'one')
    const kind = String.fromCharCode(header[156]!)
    const size = next.size ?? numberOf(header, 124, 12)
    const start = at + BLOCK
    if (!Number.isSafeInteger(size) || start + size > sizeBytes)
      fail(at, `a member of ${size} bytes`, `at most ${sizeBytes - start}: it is cut off`)
    at = start + Math.ceil(size / BLOCK) * BLOCK
    if (kind === 'x' || kind === 'L') {
      if (size > NAME_LIMIT) fail(start, `a name of ${size} bytes`, `at most ${NAME_LIMIT}`)
      const data = await read(start, size)
      const pax = kind === 'x' ? paxOf(data) : new Map([['path', textOf(data, 0, size)]])
      next = { name: pax.get('path') ?? next.name }
      if (pax.has('size')) next.size = Number(pax.get('size'))
      continue
    }
    const prefix = textOf(header, 257, 5) === 'ustar' ? textOf(header, 345, 155) : ''
    const short = textOf(header, 0, 100)
    const name = next.name ?? (prefix && header[263] === 0x30 ? `${prefix}/${short}` : short)
    next = {}
    if (kind === '0' || kind === '\0') yield { name, start, sizeBytes: size }
  }
}
