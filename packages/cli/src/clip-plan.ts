import { readFile, statfs } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { Log } from '@deepfever/core'
import { readManifest, type Forgotten } from '@deepfever/formats'
import { clipIdOf, faultOf, type Clip } from '@deepfever/ingest'
import { ClipError, probeClip, type Ffmpeg, type Sampling } from '@deepfever/media'

/** Headers read for an estimate; more would tell little. */
const PROBES = 100
/** JPEG 95, 4:4:4 of a video frame: bytes a pixel. */
const FRAME_BYTES = 0.35
const FACE_BYTES = 9_000
const FACES_A_FRAME = 1.1
/** Seconds a frame from file to faces on two cores, where no earlier run tells. */
const FRAME_SECONDS = 0.15
/** Where a header does not say it. */
const USUAL = { durationUs: 10e6, width: 1280, height: 720 }

interface Planned {
  readonly ffmpeg: Ffmpeg
  readonly sampling: Sampling
  readonly forgotten: Forgotten
  readonly out: string
}

interface Size {
  readonly frames: number
  readonly frameBytes: number
}

async function sizeOf({ file }: Clip, { ffmpeg, sampling }: Planned): Promise<Size> {
  const info = await probeClip(file, ffmpeg).catch((thrown: unknown) => {
    if (thrown instanceof ClipError) return undefined
    throw thrown
  })
  const { durationUs = USUAL.durationUs, width, height } = info ?? USUAL
  const { select, fps, count, times, maxSide } = sampling
  const seconds = (durationUs ?? USUAL.durationUs) / 1e6
  // Key frames stand every ten seconds at most in what cameras and sites write.
  const perSelect = { rate: seconds * fps, key: seconds / 5, uniform: count, times: times.length }
  const scale = Math.min(1, maxSide / Math.max(width, height, 1)) ** 2
  const frames = info ? Math.max(1, Math.ceil(perSelect[select])) : 0
  return { frames, frameBytes: frames * width * height * scale * FRAME_BYTES }
}

/** Seconds a frame of the run that made `out`, when it did most of it itself. */
async function measuredSeconds(out: string): Promise<number | undefined> {
  const found = await readManifest(out).catch(() => undefined)
  const stats = await readFile(join(out, 'stats.json'), 'utf8').catch(() => '{}')
  const { seconds } = JSON.parse(stats) as { seconds?: number }
  const frames = found?.manifest.ledger.inputs
  return seconds !== undefined && frames ? seconds / frames : undefined
}

/**
 * Says what a run would do and why, and how long and how large it would be: with frames in memory
 * only, and with frames on disk (`ingest videos`, then `detect faces`). Reads at most 100 headers.
 */
export async function planClips(
  items: readonly Clip[],
  known: ReadonlyMap<string, unknown>,
  planned: Planned,
  log: Log,
): Promise<void> {
  const reasons: Record<string, number> = {}
  const count = (reason: string) => (reasons[reason] = (reasons[reason] ?? 0) + 1)
  const fresh: Clip[] = []
  for (const [i, clip] of items.entries()) {
    const fault = faultOf(clip, items[i - 1], planned.forgotten)
    if (fault !== undefined) count(`turned away: ${fault}`)
    else if (known.has(clipIdOf(clip))) count('copied: unchanged since the earlier run')
    else {
      count('done: new, changed, or made with other options')
      fresh.push(clip)
    }
  }
  const step = Math.max(1, fresh.length / PROBES)
  const probed = Array.from({ length: Math.min(PROBES, fresh.length) }, (_, i) =>
    sizeOf(fresh[Math.floor(i * step)]!, planned),
  )
  const sizes = await Promise.all(probed)
  const sum = (of: (size: Size) => number) =>
    Math.round(sizes.reduce((total, size) => total + of(size), 0) * step)
  const frames = sum(size => size.frames)
  const faceBytes = Math.round(frames * FACES_A_FRAME * FACE_BYTES)
  const frameBytes = sum(size => size.frameBytes)
  const seconds = Math.round(frames * ((await measuredSeconds(planned.out)) ?? FRAME_SECONDS))
  const free = await statfs(dirname(planned.out)).catch(() => undefined)
  log.event('plan', {
    clips: items.length,
    ...reasons,
    ...{
      frames,
      seconds,
      bytesInOnePass: faceBytes,
      bytesWithFramesOnDisk: faceBytes + frameBytes,
    },
    ...(free && { bytesFree: free.bavail * free.bsize }),
  })
}
