import { findFaces } from '@deepfever/faces'
import { codeOf, decodeFrames, type ClipFile, type Decoder, type Sampling } from '@deepfever/media'
import type { Keeping } from './clip-faces.ts'
import { gateCodeOf } from './face-gate.ts'

/** What a few frames of the clips themselves took, from file to faces. */
export interface Trial {
  readonly clips: number
  readonly frames: number
  readonly faces: number
  /** bytes of a frame as JPEG */
  readonly frameBytes: number
  /** bytes of a face that is kept, with its rows */
  readonly faceBytes: number
  /** bytes of a clip's examples of what was turned away */
  readonly clipBytes: number
  /** until the first frame was done: threads, models, decoder */
  readonly startSeconds: number
  readonly frameSeconds: number
  /** frames a second of clip that were taken, from the first on */
  readonly rate: number | undefined
}

/** A clip by its name and place. */
export interface TriedClip {
  readonly name: string
  readonly file: ClipFile
}

/** How the run that is planned would do it. */
export interface TrialRun {
  readonly sampling: Sampling
  readonly decoder: Decoder
  readonly keeping: Keeping
  readonly workers: number
}

/** Most frames of a clip. */
const FRAMES = 8
/** Of a row in `faces` and one in `qualities` beside the crop (measured: 276, 126 faces of 25 clips). */
const ROW_BYTES = 280

/** Decodes the first frames of clips and finds their faces, as a run would; writes nothing. */
export async function tryClips(clips: readonly TriedClip[], run: TrialRun): Promise<Trial> {
  const { sampling, decoder, keeping, workers } = run
  let [spanUs, steps] = [0, 0]
  async function* framesOf() {
    for (const clip of clips) {
      let last: number | undefined
      let taken = 0
      try {
        for await (const { image, ptsUs } of decodeFrames(clip.file, sampling, decoder)) {
          if (last !== undefined) [spanUs, steps] = [spanUs + ptsUs - last, steps + 1]
          last = ptsUs
          yield { clip, image }
          if (++taken === FRAMES) break
        }
      } catch (thrown) {
        codeOf(thrown)
      }
    }
  }
  const start = performance.now()
  let first: number | undefined
  let [frames, faces, frameBytes, cropBytes, exampleBytes] = [0, 0, 0, 0, 0]
  const examples = new Set<string>()
  const found = findFaces(framesOf(), ({ image }) => ({ file: image }), { workers, detect: true })
  for await (const { item, answer } of found) {
    first ??= performance.now()
    frames++
    frameBytes += item.image.length
    for (const face of 'faces' in answer ? answer.faces : []) {
      const code = gateCodeOf(face, keeping)
      if (code === undefined) [faces, cropBytes] = [faces + 1, cropBytes + face.crop.length]
      else if (!examples.has(`${item.clip.name} ${code}`)) {
        examples.add(`${item.clip.name} ${code}`)
        exampleBytes += face.crop.length
      }
    }
  }
  const end = performance.now()
  // Frames of the other threads are nearly done when the first one is.
  const after = Math.max(1, frames - workers)
  return {
    ...{ clips: clips.length, frames, faces },
    frameBytes: frameBytes / Math.max(1, frames),
    faceBytes: cropBytes / Math.max(1, faces) + ROW_BYTES,
    clipBytes: exampleBytes / Math.max(1, clips.length),
    startSeconds: ((first ?? end) - start) / 1000,
    frameSeconds: (end - (first ?? end)) / 1000 / after,
    rate: spanUs > 0 ? (1e6 * steps) / spanUs : undefined,
  }
}
