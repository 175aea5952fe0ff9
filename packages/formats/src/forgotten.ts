import { readFile } from 'node:fs/promises'
import { FormatError, StageError } from '@deepfever/core'
import type { Artifact } from './artifact.ts'
import { sha256, type InputEntry } from './manifest.ts'

/** What must not be used any more, as forget.txt lists it. */
export interface Forgotten {
  /** first 16 hex digits of the digests of clips */
  readonly clips: ReadonlySet<string>
  readonly faces: ReadonlySet<string>
  /** frames and pictures that show one of the faces */
  readonly frames: ReadonlySet<string>
  /** the list as an input of a stage; empty when nothing is forgotten */
  readonly inputs: readonly InputEntry[]
  /** for the manifest: digests of the entries, which tell no names */
  readonly metadata: { readonly forgotten: readonly string[] } | Record<string, never>
  /** Whether all that `earlier` left out is still to be left out, so that its rows can be used. */
  covers(earlier: Artifact): boolean
}

const CLIP_DIGITS = 16

/**
 * Reads forget.txt: a line holds the digest of a clip (16 to 64 hex digits) or the id of a face
 * (`<frame or picture>#<rank>`); `#` at the start begins a comment. An empty path is an empty list.
 *
 * @throws FormatError naming the line that is neither
 */
export async function openForgotten(path: string): Promise<Forgotten> {
  const text =
    path === ''
      ? ''
      : await readFile(path, 'utf8').catch((thrown: unknown) => {
          throw new StageError(`${path}: no such list; wanted forget.txt`, { path }, thrown)
        })
  const [clips, faces, frames] = [new Set<string>(), new Set<string>(), new Set<string>()]
  for (const [i, row] of text.split(/\r?\n/).entries()) {
    const line = row.trim()
    if (line === '' || line.startsWith('#')) continue
    const face = /^(.+)#\d+$/.exec(line)
    if (face) {
      faces.add(line)
      frames.add(face[1]!)
    } else if (/^[0-9a-f]{16,64}$/.test(line)) clips.add(line.slice(0, CLIP_DIGITS))
    else
      throw new FormatError(
        `${path}: line ${i + 1}: found ${JSON.stringify(line)}, wanted 16 to 64 hex digits of a ` +
          'clip, or the id of a face',
        { path, line: i + 1, found: line },
      )
  }
  const entries = [...clips, ...faces].sort()
  const forgotten = entries.map(entry => sha256(entry)).sort()
  return {
    ...{ clips, faces, frames },
    inputs: entries.length > 0 ? [{ role: 'forget', digest: sha256(entries.join('\n')) }] : [],
    metadata: entries.length > 0 ? { forgotten } : {},
    covers({ manifest }) {
      const before = manifest.metadata.forgotten as readonly string[] | undefined
      return (before ?? []).every(entry => forgotten.includes(entry))
    },
  }
}
