import { StageError, readAhead } from '@deepfever/core'
import type { Frame } from '@deepfever/formats'
import {
  codeOf,
  decodeFrames,
  type DecodedFrame,
  type Decoder,
  type Sampling,
} from '@deepfever/media'
import type { Clip } from './clip-list.ts'

/** A frame without what names it. */
type TakenFrame = Omit<Frame, 'frameId' | 'clipId' | 'clipName'>

/** Gives frames, and at the end the code of what went wrong, or ''. */
export type Taking = AsyncGenerator<TakenFrame, string>

/** Frames that are ready while others are written. */
const AHEAD = 16
/** Beside a larger clip none is begun: its decoder would hold memory for long. */
const SMALL_BYTES = 64 * 2 ** 20

/** Frames of one clip; one that breaks half-way gives its good frames. */
async function* takeFrames(decoded: AsyncIterable<DecodedFrame>, signal: AbortSignal): Taking {
  try {
    yield* decoded
  } catch (thrown) {
    if (signal.aborted) throw new StageError('stopped; the same command goes on', {})
    return codeOf(thrown)
  }
  return ''
}

/** Clips on their way from file to frames. */
export interface Takings {
  /** The frames of the next clip, which is `clip`. */
  take(clip: Clip): Taking
  /** Ends what was begun and not taken. */
  close(): void
}

/**
 * Decodes clips in their order, one after the other as they are asked for. Programs take a while to
 * start, so a clip is begun while the one before it is read.
 */
export function openTakings(clips: readonly Clip[], sampling: Sampling, decoder: Decoder): Takings {
  const begun = new Map<Clip, Taking>()
  const ending = new AbortController()
  const signal = AbortSignal.any([decoder.signal, ending.signal])
  let next = 0
  const begin = () => {
    const clip = clips[next++]
    if (!clip) return
    const frames = decodeFrames(clip.file, sampling, { ...decoder, signal })
    begun.set(clip, readAhead(takeFrames(frames, signal), AHEAD))
  }
  return {
    take(clip) {
      if (!begun.has(clip)) begin()
      const taking = begun.get(clip)!
      begun.delete(clip)
      if (clip.sizeBytes <= SMALL_BYTES) begin()
      return taking
    },
    close: () => ending.abort(),
  }
}
