import { createHash } from 'node:crypto'
import { basename, join } from 'node:path'
import { FormatError } from '@deepfever/core'
import { readCsv } from '@deepfever/formats'
import { readFecRows } from './fec-rows.ts'
import type { Source } from './source.ts'

/** Name of the index that `datasets fec-download` keeps beside the lists. */
export const FEC_INDEX = 'fec-images.csv'
const INDEX = /^(?:.*\/)?fec-images\.csv$/
const PICTURE = /\.(jpe?g|png|gif|webp)$/i

/** One line of the index: an address, how its download ended, and the file below the index. */
export interface FecImage {
  readonly url: string
  /** `ok`, or why there is no picture */
  readonly code: string
  /** below the index's folder; empty without a picture */
  readonly path: string
  readonly sizeBytes: number
}

const HEAD = ['url', 'code', 'path', 'sizeBytes']

/** The head line of the index. */
export const encodeIndexHead = (): string => `${HEAD.join(',')}\n`

/** One line of the index. */
export const encodeFecImage = ({ url, code, path, sizeBytes }: FecImage): string =>
  `"${url.replaceAll('"', '""')}",${code},${path},${sizeBytes}\n`

/**
 * Reads an index of pictures by address.
 *
 * @throws FormatError naming the line that is none
 */
export async function* readFecIndex(place: string): AsyncGenerator<FecImage> {
  let line = 0
  for await (const cells of readCsv(place)) {
    line++
    if (line === 1 && cells[0] === HEAD[0]) continue
    const [url = '', code = '', path = '', size = ''] = cells
    if (cells.length !== HEAD.length || url === '' || code === '' || !/^\d+$/.test(size))
      throw new FormatError(
        `${place}: line ${line}: found ${cells.join(',').slice(0, 80)}, wanted ${HEAD.join(',')}`,
        { place, line, wanted: HEAD },
      )
    yield { url, code, path, sizeBytes: Number(size) }
  }
}

/** Where the picture of an address is, or why there is none. */
export type FoundPicture = { readonly path: string } | { readonly code: string }

/** Address without scheme, host and query: the same photograph stands under several hosts. */
const pathOf = (url: string): string => url.split(/[?#]/)[0]!.replace(/^[a-z]+:\/\/[^/]*/i, '')

/** Only a name's first 48 bits of digest are kept of the path, 87,000 of them in all. */
const shortDigest = (text: string): number =>
  createHash('sha256').update(text).digest().readUIntBE(0, 6)

/** Names that stand for one photograph alone; a name of several would give one of them to all. */
async function ambiguousNames(source: Source): Promise<Set<string>> {
  const paths = new Map<string, number>()
  const ambiguous = new Set<string>()
  for await (const { row } of readFecRows(source))
    for (const { url } of row?.faces ?? []) {
      const path = pathOf(url)
      const name = basename(path)
      const digest = shortDigest(path)
      if ((paths.get(name) ?? digest) !== digest) ambiguous.add(name)
      paths.set(name, digest)
    }
  return ambiguous
}

/**
 * Looks pictures up by address: through the index of the downloader where it names the address,
 * else by the last part of the address, the usual name in folders fetched by other programs.
 * Codes: `gone_picture`, `opted_out`, `ambiguous_picture`, `missing_picture`.
 */
export async function openFecPictures(source: Source): Promise<(url: string) => FoundPicture> {
  const files = source.files.map(file => file.path)
  const present = new Set(files)
  const byUrl = new Map<string, FoundPicture>()
  for (const index of files.filter(path => INDEX.test(path))) {
    const folder = index.slice(0, -FEC_INDEX.length)
    for await (const { url, code, path } of readFecIndex(join(source.root, index)))
      byUrl.set(url, toFound(code, `${folder}${path}`, present))
  }
  const pictures = files.filter(path => PICTURE.test(path))
  const byName = new Map(pictures.map(path => [basename(path), path]))
  const ambiguous = byName.size > 0 ? await ambiguousNames(source) : new Set<string>()
  return url => {
    const listed = byUrl.get(url)
    if (listed !== undefined) return listed
    const name = basename(pathOf(url))
    const path = byName.get(name)
    if (path === undefined) return { code: 'missing_picture' }
    return ambiguous.has(name) ? { code: 'ambiguous_picture' } : { path }
  }
}

function toFound(code: string, path: string, present: ReadonlySet<string>): FoundPicture {
  if (code === 'ok' && present.has(path)) return { path }
  if (code === 'gone') return { code: 'gone_picture' }
  return { code: code === 'opted_out' ? code : 'missing_picture' }
}
