import { readFile, stat } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { FormatError, UsageError, mapOrdered, optionalPath, type Log } from '@deepfever/core'
import { digestOf, indexFolder, openSource, type SourceFile } from '@deepfever/datasets'
import { listTar, sha256, sha256OfFile, type Forgotten, type Terms } from '@deepfever/formats'
import type { ClipFile } from '@deepfever/media'
import { TERMS_FILE, openTerms } from './source-terms.ts'

/** A clip by its content, or something that was named as one and cannot be read. */
export interface Clip {
  /** below the source folder; a member of a tar file has the tar's path before its own */
  readonly name: string
  /** of its bytes; of its name where they cannot be read */
  readonly sha256: string
  readonly sizeBytes: number
  readonly file: ClipFile
  /** why it is turned away unread */
  readonly fault: string | undefined
  readonly terms: Terms
}

/** Names the clip in every artifact: the first 16 hex digits of its digest. */
export const clipIdOf = ({ sha256: digest }: Clip): string => digest.slice(0, 16)

/** Why a clip is turned away unread, `before` being the one listed before it. */
export const faultOf = (
  clip: Clip,
  before: Clip | undefined,
  forgotten: Forgotten,
): string | undefined => {
  if (clip.fault !== undefined) return clip.fault
  if (forgotten.clips.has(clipIdOf(clip))) return 'forgotten'
  if (clip.sizeBytes === 0) return 'empty_file'
  return clip.sha256 === before?.sha256 ? 'duplicate_clip' : undefined
}

/** All clips of a source, in ascending order of digest, then name. */
export interface ClipList {
  readonly clips: readonly Clip[]
  readonly digest: string
}

/** Where clips are named: exactly one of them is given. */
export const sourceOptions = {
  source: optionalPath('folder of clips and tar files of clips, searched with its subfolders'),
  index: optionalPath('index of raw data instead (made by: npx deepfever datasets index)'),
  list: optionalPath('file with one path a line (or NUL between them) instead'),
}

const CLIP = /\.(mp4|m4v|mov|mkv|webm|avi|mpe?g|m?ts|m2ts|3gp|flv|wmv|asf|ogv|gif|webp)$/i
const TAR = /\.tar$/i
/** Files hashed side by side. */
const WIDTH = 4

interface Named {
  readonly root: string
  readonly files: readonly SourceFile[]
  readonly refused: readonly string[]
}

/** The files that a list names; relative paths are below the list's own folder. */
async function readList(list: string): Promise<Named> {
  const text = await readFile(list, 'utf8')
  const names = text.split(text.includes('\0') ? '\0' : /\r?\n/).filter(name => name.trim() !== '')
  const refused: string[] = []
  const files: SourceFile[] = []
  const read = mapOrdered(new Set(names), WIDTH, async name => {
    const path = resolve(dirname(list), name)
    const found = await stat(path).catch(() => undefined)
    if (!found?.isFile()) return path
    return { path, sizeBytes: found.size, sha256: await sha256OfFile(path) }
  })
  for await (const file of read) {
    if (typeof file === 'string') refused.push(file)
    else files.push(file)
  }
  return { root: '/', files, refused }
}

async function readNamed(
  { source, index, list }: { source: string; index: string; list: string },
  log: Log,
): Promise<Named> {
  if ([source, index, list].filter(Boolean).length !== 1)
    throw new UsageError('give one of --source, --index and --list', { source, index, list })
  if (list) return readList(list)
  if (index) return { ...(await openSource({ source, index, corpus: 'videos' }, log)), refused: [] }
  const { files, refused } = await indexFolder(source, [], log)
  return { root: source, files, refused }
}

/** A name with a replacement character was no UTF-8: such a file cannot be named to ffmpeg. */
const nameFaultOf = (name: string): string =>
  name.includes('\ufffd') ? 'name_not_utf8' : 'not_a_file_inside'

/** The clips in a tar file; one that is damaged gives those before the damage, and itself. */
async function* membersOf(tar: SourceFile, root: string): AsyncGenerator<Omit<Clip, 'terms'>> {
  const path = join(root, tar.path)
  try {
    for await (const { name, start, sizeBytes } of listTar(path)) {
      if (!CLIP.test(name)) continue
      const file = { path, part: { start, sizeBytes } }
      const digest = await sha256OfFile(file.path, file.part)
      yield { name: `${tar.path}/${name}`, sha256: digest, sizeBytes, file, fault: undefined }
    }
  } catch (thrown) {
    if (!(thrown instanceof FormatError)) throw thrown
    yield { name: tar.path, sha256: tar.sha256, sizeBytes: 0, file: { path }, fault: 'damaged_tar' }
  }
}

/**
 * Lists the clips of a folder, an index or a list, with those inside tar files, in the order in
 * which they are worked through.
 *
 * @throws UsageError unless exactly one of the three is given
 */
export async function listClips(
  options: { source: string; index: string; list: string },
  log: Log,
): Promise<ClipList> {
  const { root, files, refused } = await readNamed(options, log)
  const beside = options.list ? await termsBeside(files) : files
  const termsOf = await openTerms(root, beside)
  const clips: Clip[] = []
  let ignored = 0
  for (const file of files) {
    const { path, sizeBytes } = file
    const terms = termsOf(path)
    if (TAR.test(path))
      for await (const clip of membersOf(file, root)) clips.push({ ...clip, terms })
    else if (CLIP.test(path)) {
      const [place, fault] = [{ path: join(root, path) }, undefined]
      clips.push({ name: path, sha256: file.sha256, sizeBytes, file: place, fault, terms })
    } else if (!path.endsWith(TERMS_FILE)) ignored++
  }
  for (const name of refused.filter(name => CLIP.test(name) || TAR.test(name))) {
    const file = { path: join(root, name) }
    const terms = termsOf(name)
    clips.push({ name, sha256: sha256(name), sizeBytes: 0, file, fault: nameFaultOf(name), terms })
  }
  if (ignored > 0) log.event('ignored', { files: ignored, reason: 'not named as a clip' })
  const key = ({ sha256: digest, name }: Clip) => `${digest} ${name}`
  clips.sort((a, b) => (key(a) < key(b) ? -1 : 1))
  const digest = digestOf(clips.map(clip => ({ ...clip, path: clip.name })))
  return { clips, digest }
}

/** The SOURCE.json files in the folders of listed clips. */
async function termsBeside(files: readonly SourceFile[]): Promise<{ path: string }[]> {
  const places = new Set(files.map(({ path }) => join(dirname(path), TERMS_FILE)))
  const found: { path: string }[] = []
  for (const path of places)
    if (
      await stat(path).then(
        info => info.isFile(),
        () => false,
      )
    )
      found.push({ path })
  return found
}
