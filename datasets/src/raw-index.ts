import { createHash } from 'node:crypto'
import { readdir, realpath, stat } from 'node:fs/promises'
import { join, sep } from 'node:path'
import { FormatError, StageError, mapOrdered, type Log } from '@deepfever/core'
import { sha256OfFile } from '@deepfever/formats'

/** One file of a raw folder; `path` is below the folder, with `/`. */
export interface SourceFile {
  readonly path: string
  readonly sizeBytes: number
  readonly sha256: string
}

/** A file as last seen: when size and time are unchanged its bytes are not read again. */
export interface SeenFile extends SourceFile {
  readonly mtimeMs: number
}

/** All files of a raw folder, sorted by path. */
export interface RawIndex {
  readonly files: readonly SeenFile[]
  /** links that lead out of the folder, and what is neither file nor folder */
  readonly refused: readonly string[]
}

/** Files hashed side by side: enough to keep a disk busy. */
const WIDTH = 8

/** sha256 over paths, sizes and contents; times do not enter. */
export const digestOf = (files: readonly SourceFile[]): string => {
  const hash = createHash('sha256')
  for (const file of files) hash.update(`${file.path}\0${file.sizeBytes}\0${file.sha256}\n`)
  return hash.digest('hex')
}

/** Every entry below `root` that is no folder, in the order of the file system. */
async function* walk(root: string, below = ''): AsyncGenerator<string> {
  for (const entry of await readdir(join(root, below), { withFileTypes: true })) {
    const path = below ? `${below}/${entry.name}` : entry.name
    if (entry.isDirectory()) yield* walk(root, path)
    else yield path
  }
}

/**
 * Lists a folder with the digest of every file. Links are followed inside the folder only.
 *
 * @param previous files as an earlier index saw them; unchanged ones are not read
 * @throws StageError when the folder is not there
 */
export async function indexFolder(
  root: string,
  previous: readonly SeenFile[],
  log: Log,
): Promise<RawIndex> {
  const known = new Map(previous.map(file => [file.path, file]))
  const real = await realpath(root).catch((thrown: unknown) => {
    throw new StageError(`${root}: no such folder; wanted a folder of raw data`, { root }, thrown)
  })
  const files: SeenFile[] = []
  const refused: string[] = []
  const bar = log.progress('files')
  const looked = mapOrdered(walk(real), WIDTH, async path => {
    const place = join(real, path)
    const target = await realpath(place).catch(() => '')
    const found = target.startsWith(real + sep) ? await stat(target) : undefined
    if (!found?.isFile()) return path
    const { size: sizeBytes, mtimeMs } = found
    const old = known.get(path)
    const same = old?.sizeBytes === sizeBytes && old.mtimeMs === mtimeMs
    return { path, sizeBytes, sha256: same ? old.sha256 : await sha256OfFile(target), mtimeMs }
  })
  for await (const result of looked) {
    if (typeof result === 'string') refused.push(result)
    else files.push(result)
    bar.advance()
  }
  bar.done()
  // By whole path, by code unit: folder by folder `a/b` would come before `a-c`, and locales differ.
  files.sort((a, b) => (a.path < b.path ? -1 : 1))
  return { files, refused: refused.sort() }
}

/** index.json: one file a line inside a list, so that it can be streamed and compared by eye. */
export const encodeIndex = (files: readonly SeenFile[]): string =>
  `[\n${files.map(file => JSON.stringify(file)).join(',\n')}\n]\n`

/**
 * Parses index.json line by line.
 *
 * @throws FormatError naming the line that is no entry
 */
export function decodeIndex(data: Uint8Array, place: string): SeenFile[] {
  const lines = Buffer.from(data.buffer, data.byteOffset, data.length).toString().split('\n')
  return lines.slice(1, -2).map((line, i) => {
    try {
      return JSON.parse(line.replace(/,$/, '')) as SeenFile
    } catch (thrown) {
      throw new FormatError(
        `${place}: line ${i + 2} is no entry: ${line.slice(0, 80)}`,
        { place },
        thrown,
      )
    }
  })
}
