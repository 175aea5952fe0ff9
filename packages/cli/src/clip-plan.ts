import { statfs } from 'node:fs/promises'
import { dirname } from 'node:path'
import { mapOrdered, type Log } from '@deepfever/core'
import { tryClips, type Trial, type TrialRun } from '@deepfever/detect'
import type { Forgotten } from '@deepfever/formats'
import { clipIdOf, faultOf, type Clip } from '@deepfever/ingest'
import { ClipError, probeClip, type Ffmpeg } from '@deepfever/media'

/** Headers read for an estimate; more would tell little. */
const PROBES = 100
/** Headers read side by side. */
const WIDTH = 4
/** Clips that are tried; it then takes some ten seconds. */
const TRIED = 12

/** At most `most` of a list, spread evenly. */
const spread = <T>(list: readonly T[], most: number): T[] =>
  Array.from(
    { length: Math.min(most, list.length) },
    (_, i) => list[Math.floor(i * Math.max(1, list.length / most))]!,
  )

/** A clip that can be opened, and how long it is. */
interface Probed {
  readonly clip: Clip
  /** undefined where the header does not say it */
  readonly seconds: number | undefined
}

async function probe(clip: Clip, ffmpeg: Ffmpeg): Promise<Probed | undefined> {
  try {
    const { durationUs } = await probeClip(clip.file, ffmpeg)
    return { clip, seconds: durationUs === undefined ? undefined : durationUs / 1e6 }
  } catch (thrown) {
    if (thrown instanceof ClipError) return undefined
    throw thrown
  }
}

/** What is done with each clip and why, and the clips that are decoded. */
function sortOut(
  items: readonly Clip[],
  known: ReadonlyMap<string, unknown>,
  forgotten: Forgotten,
): { reasons: Readonly<Record<string, number>>; fresh: readonly Clip[] } {
  const reasons: Record<string, number> = {}
  const fresh: Clip[] = []
  for (const [i, clip] of items.entries()) {
    const fault = faultOf(clip, items[i - 1], forgotten)
    const isKnown = fault === undefined && known.has(clipIdOf(clip))
    if (fault === undefined && !isKnown) fresh.push(clip)
    const reason = fault
      ? `turned away: ${fault}`
      : isKnown
        ? 'copied: unchanged since the earlier run'
        : 'done: new, changed, or made with other options'
    reasons[reason] = (reasons[reason] ?? 0) + 1
  }
  return { reasons, fresh }
}

/**
 * Says what a run would do and why, and how long and how large it would be: with frames in memory
 * only, and with frames on disk (`ingest videos`, then `detect faces`). Reads at most 100 headers
 * and tries a few frames of a dozen clips.
 */
export async function planClips(
  items: readonly Clip[],
  known: ReadonlyMap<string, unknown>,
  { forgotten, out, ...run }: TrialRun & { readonly forgotten: Forgotten; readonly out: string },
  log: Log,
): Promise<void> {
  const { reasons, fresh } = sortOut(items, known, forgotten)
  const step = Math.max(1, fresh.length / PROBES)
  const asked = spread(fresh, PROBES)
  const probed: Probed[] = []
  for await (const found of mapOrdered(asked, WIDTH, clip => probe(clip, run.decoder.ffmpeg)))
    if (found) probed.push(found)
  const tried = spread(probed, TRIED).map(({ clip }) => clip)
  const trial = tried.length > 0 ? await tryClips(tried, run) : undefined
  const free = await statfs(dirname(out)).catch(() => undefined)
  log.event('plan', {
    ...{ clips: items.length, ...reasons },
    ...(trial && {
      tried: `${trial.frames} frames of ${trial.clips} clips`,
      ...estimate(trial, probed, step, run.sampling),
    }),
    ...(free && { bytesFree: free.bavail * free.bsize }),
  })
}

/** The size of everything, from the trial and the lengths of the clips. */
function estimate(
  trial: Trial,
  probed: readonly Probed[],
  step: number,
  { select, fps, count, times }: TrialRun['sampling'],
) {
  const lengths = probed.flatMap(({ seconds }) => seconds ?? [])
  const usual = lengths.reduce((sum, length) => sum + length, 0) / Math.max(1, lengths.length)
  const framesIn = (seconds: number): number =>
    ({
      rate: seconds * fps,
      key: seconds * (trial.rate ?? 0),
      uniform: count,
      times: times.filter(time => time < seconds).length,
    })[select]
  const sum = probed.reduce(
    (total, { seconds }) => total + Math.max(1, Math.ceil(framesIn(seconds ?? usual) - 1e-3)),
    0,
  )
  const frames = Math.round(sum * step)
  const faces = Math.round((frames * trial.faces) / Math.max(1, trial.frames))
  const bytesInOnePass = faces * trial.faceBytes + probed.length * step * trial.clipBytes
  return {
    ...{ frames, faces },
    seconds: Math.round(trial.startSeconds + frames * trial.frameSeconds),
    bytesInOnePass: Math.round(bytesInOnePass),
    bytesWithFramesOnDisk: Math.round(bytesInOnePass + frames * trial.frameBytes),
  }
}
