import type { Context } from '@deepfever/core'
import {
  clips,
  faces,
  openEarlier,
  openGroups,
  qualities,
  tallies,
  type Artifact,
  type ArtifactSpec,
  type ArtifactWriter,
  type ClipRow,
  type Columns,
  type Forgotten,
  type Groups,
  type RowOf,
  type Table,
  type Tally,
} from '@deepfever/formats'
import { openClip, writeTallies, type ClipFaces, type Keeping } from './clip-faces.ts'
import { findFaces } from '@deepfever/faces'
import { openStillFrames } from './still-frames.ts'

/** What is known of a clip before its frames are looked at. */
export type ClipName = Pick<ClipRow, 'clipId' | 'clipName'>

/**
 * Clips in order: the frames of one (of one that is passed over only its id) and its end, or that
 * an earlier run has it.
 */
export type ClipStep =
  | { readonly clip: ClipName; readonly frameId: string; readonly image: Uint8Array }
  | { readonly clip: ClipName; readonly stillId: string }
  | { readonly clip: ClipName; readonly end: { readonly frames: number; readonly code: string } }
  | { readonly clip: ClipName; readonly known: true }

/** The clip's name in the journal. */
export const itemOf = ({ clipId, clipName }: ClipName): string => `${clipId} ${clipName}`

/** The clip of a frame or face of a clip. */
const clipIdOf = (id: string): string => id.slice(0, id.indexOf('@'))

/** The rows of a table of an artifact by clip; of an absent table none. */
export function groupsOf<C extends Columns>(
  { manifest, ...artifact }: Artifact,
  table: Table<C>,
  keyOf: (row: RowOf<Table<C>>) => string,
): Groups<RowOf<Table<C>>> {
  return openGroups(manifest.tables[table.name] ? artifact.rows(table) : nothing(), keyOf)
}

// eslint-disable-next-line require-yield -- an empty sequence
async function* nothing(): AsyncGenerator<never> {
  await Promise.resolve()
}

/** All tables of a faces artifact of clips, by clip. */
export const openClipGroups = (artifact: Artifact) => ({
  faces: groupsOf(artifact, faces, row => clipIdOf(row.faceId)),
  qualities: groupsOf(artifact, qualities, row => clipIdOf(row.faceId)),
  tallies: groupsOf(artifact, tallies, itemOf),
})

/** What an earlier run in the same way holds. */
export interface KnownFaces {
  /** rows of the clips whose faces can be copied, by `clipId` */
  readonly clips: ReadonlyMap<string, ClipRow>
  readonly groups: ReturnType<typeof openClipGroups> | undefined
}

/** Codes that depend on more than the clip itself. */
const fresh = new Set(['duplicate_clip', 'forgotten', 'empty_file'])

/** Clips that need not be looked at again; those with the code `retry` are left out. */
export async function openKnownFaces(
  spec: ArtifactSpec,
  forgotten: Forgotten,
  retry: string,
): Promise<KnownFaces> {
  const earlier = await openEarlier(spec)
  const known = new Map<string, ClipRow>()
  if (!earlier?.manifest.tables.clips || !forgotten.covers(earlier))
    return { clips: known, groups: undefined }
  for await (const row of earlier.rows(clips)) if (!fresh.has(row.code)) known.set(row.clipId, row)
  if (retry !== '' && earlier.manifest.tables.tallies)
    for await (const row of earlier.rows(tallies)) if (row.code === retry) known.delete(row.clipId)
  for (const row of [...known.values()])
    if (retry !== '' && row.code === retry) known.delete(row.clipId)
  for (const face of forgotten.faces) known.delete(clipIdOf(face))
  return { clips: known, groups: openClipGroups(earlier) }
}

async function copyClip(
  { clipName, clipId }: ClipName,
  { clips: rows, groups }: KnownFaces,
  write: ArtifactWriter,
): Promise<number> {
  const earlier = rows.get(clipId)!
  const { frames, code } = earlier
  let kept = 0
  for await (const face of groups!.faces.take(clipId)) {
    await write.append(faces, { ...face, source: clipName })
    kept++
  }
  for await (const row of groups!.qualities.take(clipId)) await write.append(qualities, row)
  const turnedAway: Tally[] = []
  for await (const row of groups!.tallies.take(itemOf(earlier)))
    // What names the clip as a whole follows a clip that was renamed.
    turnedAway.push({
      ...row,
      clipName,
      example: row.example === row.clipName ? clipName : row.example,
    })
  await write.append(clips, { clipId, clipName, frames, code })
  write.accept(kept)
  return kept + (await writeTallies(turnedAway, write))
}

/** How the faces of clips are found and chosen. */
export interface FacesWork {
  readonly keeping: Keeping
  /** see `openStillFrames` */
  readonly still: number
  readonly workers: number
  readonly forgotten: Forgotten
  readonly known: KnownFaces | undefined
}

async function* withoutStill(
  steps: AsyncIterable<ClipStep>,
  still: number,
): AsyncGenerator<ClipStep> {
  const isStill = openStillFrames(still)
  for await (const step of steps)
    if ('image' in step && (await isStill(step.clip.clipId, step.image)))
      yield { clip: step.clip, stillId: step.frameId }
    else yield step
}

/** Finds the faces of all frames and writes them clip by clip; a clip is an item of the journal. */
export async function writeClipFaces(
  steps: AsyncIterable<ClipStep>,
  { keeping, still, workers, forgotten, known }: FacesWork,
  { checkpoint }: Pick<Context, 'checkpoint'>,
  write: ArtifactWriter,
): Promise<void> {
  let open: { readonly item: string; readonly clip: ClipFaces } | undefined
  const jobOf = (step: ClipStep) => ('image' in step ? { file: step.image } : undefined)
  const looked = findFaces(withoutStill(steps, still), jobOf, { workers, detect: true })
  for await (const { item: step, answer } of looked) {
    checkpoint()
    const item = itemOf(step.clip)
    if (open?.item !== item) open = { item, clip: openClip(step.clip, keeping, forgotten, write) }
    if (answer !== undefined && 'image' in step) await open.clip.add(step.frameId, answer)
    else if ('stillId' in step) await open.clip.add(step.stillId, { rejected: 'frame_unchanged' })
    else if ('end' in step)
      await write.done(item, await open.clip.end(step.end.frames, step.end.code))
    else if (known) await write.done(item, await copyClip(step.clip, known, write))
  }
}
