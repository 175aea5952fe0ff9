import { overlapOf } from '@deepfever/faces'

/** Least overlap of boxes in neighbouring frames that are taken for one face. */
const SAME_PLACE = 0.3
/** Frames for which a track may show no face. */
const PATIENCE = 2

interface Track {
  readonly id: string
  box: Float32Array
  missed: number
}

/**
 * Names the faces of a clip, frame by frame: a face that lies where one lay shortly before belongs
 * to its track (largest overlap first). Only boxes count, so at few frames a second a person who
 * moves begins a new track.
 *
 * @returns the track of each box of the next frame
 */
export function openTracks(clipId: string): (boxes: readonly Float32Array[]) => string[] {
  let active: Track[] = []
  let count = 0
  return boxes => {
    const pairs = active.flatMap(track =>
      boxes.map((box, face) => ({ track, face, overlap: overlapOf(track.box, box) })),
    )
    const taken = new Map<number, Track>()
    const moved = new Set<Track>()
    // Sorting keeps the order of equals, so ties go to the older track and the larger face.
    for (const { track, face, overlap } of pairs.sort((a, b) => b.overlap - a.overlap)) {
      if (overlap < SAME_PLACE || taken.has(face) || moved.has(track)) continue
      taken.set(face, track)
      moved.add(track)
    }
    for (const track of active) track.missed = moved.has(track) ? 0 : track.missed + 1
    active = active.filter(track => track.missed <= PATIENCE)
    return boxes.map((box, face) => {
      const track = taken.get(face) ?? { id: `${clipId}~${count++}`, box, missed: 0 }
      if (!taken.has(face)) active.push(track)
      track.box = box
      return track.id
    })
  }
}
