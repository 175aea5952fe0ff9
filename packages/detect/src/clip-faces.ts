import {
  clips,
  faces,
  qualities,
  tallies,
  type ArtifactWriter,
  type ClipRow,
  type Forgotten,
  type Tally,
} from '@deepfever/formats'
import { integer } from '@deepfever/core'
import { gateCodeOf, gateOptions, type FaceGate } from './face-gate.ts'
import type { CutFace, PictureAnswer } from '@deepfever/faces'
import { openTracks } from './tracks.ts'

/** Which faces of a clip are kept. */
export interface Keeping extends FaceGate {
  /** most faces of a track, and of a clip; 0: all */
  readonly perTrack: number
  readonly perClip: number
}

/** Gate and limits as options. */
export const keepingOptions = {
  ...gateOptions,
  still: integer({
    help: 'pass over frames in which no part of the picture changed by more steps of 255; 0: none',
    ...{ standard: 0, min: 0, max: 255 },
  }),
  perTrack: integer({
    help: 'most faces of a track, the sharpest; 0: all',
    ...{ standard: 0, min: 0, max: 1e6 },
  }),
  perClip: integer({
    help: 'most faces of a clip, the sharpest; 0: all',
    ...{ standard: 0, min: 0, max: 1e6 },
  }),
}

interface Kept {
  readonly order: number
  readonly faceId: string
  readonly frameId: string
  readonly trackId: string
  readonly face: CutFace
}

/** Sharpest first. */
const bySharpness = (a: Kept, b: Kept): number =>
  b.face.quality.sharpness - a.face.quality.sharpness || (a.faceId < b.faceId ? -1 : 1)

/** The faces of one clip on their way into an artifact. */
export interface ClipFaces {
  /** Takes the answer for the clip's next frame, or why it was not looked at. */
  add(
    frameId: string,
    answer: PictureAnswer | { readonly rejected: 'frame_unchanged' },
  ): Promise<void>
  /** Writes what is left, the tallies and the clip's row; gives the number of inputs it stands for. */
  end(frames: number, code: string): Promise<number>
}

/** Writes the reasons for which a clip's faces were turned away into table and ledger. */
export async function writeTallies(rows: Iterable<Tally>, write: ArtifactWriter): Promise<number> {
  let sum = 0
  for (const tally of rows) {
    await write.append(tallies, tally)
    write.reject(tally.code, tally.example, tally.count)
    sum += tally.count
  }
  return sum
}

/**
 * Opens a clip: gates its faces, follows them from frame to frame and keeps the sharpest. Without
 * limits a face is written at once; with them at most the limits are held in memory.
 */
export function openClip(
  { clipId, clipName }: Pick<ClipRow, 'clipId' | 'clipName'>,
  keeping: Keeping,
  forgotten: Forgotten,
  write: ArtifactWriter,
): ClipFaces {
  const { perTrack, perClip } = keeping
  const trackOf = openTracks(clipId)
  const turnedAway = new Map<string, Tally>()
  const held = new Map<string, Kept[]>()
  let written = 0
  let order = 0

  const tally = (code: string, example: string, crop: Uint8Array = new Uint8Array(0)) => {
    const { count = 0, ...first } = turnedAway.get(code) ?? { example, crop }
    turnedAway.set(code, { clipId, clipName, code, ...first, count: count + 1 })
  }
  const limit = (kept: Kept[], most: number, code: string) => {
    kept.sort(bySharpness)
    for (const { faceId, face } of kept.splice(most)) tally(code, faceId, face.crop)
  }
  const emit = async ({ faceId, frameId, trackId, face }: Kept) => {
    const { quality, ...cut } = face
    const row = { faceId, frameId, source: clipName, label: -1, split: '', ...cut }
    await write.append(faces, row)
    await write.append(qualities, { faceId, trackId, ...quality })
    written++
  }
  const hold = async (kept: Kept) => {
    if (perTrack === 0 && perClip === 0) return emit(kept)
    // With a limit for the clip alone all its faces are one group.
    const group = perTrack > 0 ? kept.trackId : ''
    const others = held.get(group) ?? []
    held.set(group, others)
    others.push(kept)
    const most = perTrack || perClip
    if (others.length > most) limit(others, most, perTrack > 0 ? 'track_limit' : 'clip_limit')
  }
  return {
    async add(frameId, answer) {
      if ('rejected' in answer) {
        tally(answer.rejected, frameId)
        return
      }
      const trackIds = trackOf(answer.faces.map(face => face.box))
      for (const [rank, face] of answer.faces.entries()) {
        const faceId = `${frameId}#${rank}`
        const code = gateCodeOf(face, keeping)
        if (forgotten.faces.has(faceId)) tally('forgotten', faceId)
        else if (code !== undefined) tally(code, faceId, face.crop)
        else await hold({ order: order++, faceId, frameId, trackId: trackIds[rank]!, face })
      }
    },
    async end(frames, code) {
      const left = [...held.values()].flat()
      if (perClip > 0) limit(left, perClip, 'clip_limit')
      for (const kept of left.sort((a, b) => a.order - b.order)) await emit(kept)
      if (frames === 0) tally(code || 'no_frames', clipName)
      await write.append(clips, { clipId, clipName, frames, code })
      write.accept(written)
      const sorted = [...turnedAway.values()].sort((a, b) => (a.code < b.code ? -1 : 1))
      return written + (await writeTallies(sorted, write))
    },
  }
}
