import { mapOrdered } from '@deepfever/core'
import { isWebp, readAnimation, type TimedPicture } from './animation.ts'
import { probeClip, type ClipInfo } from './clips.ts'
import type { Ffmpeg } from './ffmpeg-binary.ts'
import { clipInput, collectFfmpeg, runFfmpeg, type ClipFile } from './ffmpeg.ts'
import { ClipError } from './media-errors.ts'
import { encodeJpeg } from './pictures.ts'
import { readPpm } from './ppm.ts'
import { momentsOf, type Moments, type Selection } from './selection.ts'

/** A decoded frame, encoded again as JPEG. */
export interface DecodedFrame {
  readonly index: number
  /** microseconds from the clip's first frame */
  readonly ptsUs: number
  readonly width: number
  readonly height: number
  readonly image: Uint8Array
}

/** How frames are taken. */
export interface Sampling extends Selection {
  /** longest side in pixels; larger frames are scaled down */
  readonly maxSide: number
}

/** How the decoder is run; nothing here changes a frame. */
export interface Decoder {
  readonly ffmpeg: Ffmpeg
  readonly threads: number
  readonly signal: AbortSignal
  /** killed when it neither advanced nor wrote for so long beyond the time between two frames */
  readonly idleMs: number
}

/** Pictures under way between decoder and shard. */
const ENCODERS = 4

/**
 * The filter chain: upright square pixels, true timestamps in microseconds, RGB on black. Rotation
 * is applied by ffmpeg before it.
 */
function filtersOf(moments: Moments | undefined, { alpha }: ClipInfo, maxSide: number): string {
  const taken = `if(isnan(prev_selected_t),0,${moments?.expressionAt('prev_selected_t') ?? ''})`
  const sar = 'if(gt(sar,0),sar,1)'
  const scale = `min(1,${maxSide}/max(iw*${sar},ih))`
  const side = (of: string) => `'max(1,round(${of}*${scale}))'`
  return [
    'setpts=PTS-STARTPTS',
    moments ? `select='gt(${moments.expressionAt('t')},${taken})'` : "select='key'",
    ...(alpha ? ['format=gbrap', 'premultiply=inplace=1'] : []),
    `scale=w=${side(`iw*${sar}`)}:h=${side('ih')}:flags=bicubic+accurate_rnd+full_chroma_int`,
    'setsar=1',
    'format=rgb24',
    'settb=1/1000000',
    'showinfo=checksum=0',
  ].join(',')
}

/** When a frame is shown, and whether the decoder had reported no error before it came. */
interface Said {
  readonly ptsUs: number
  readonly clean: boolean
}

/** What ffmpeg says while it decodes: of each frame, awaited by position, and its errors. */
function followDecoder(rate: number, stepUs: number) {
  const frames: Said[] = []
  const errors: string[] = []
  let start = 0
  const waiting = new Map<number, (said: Said) => void>()
  return {
    errors,
    onMessage(line: string) {
      const found = /Parsed_showinfo.* n: *(\d+) pts: *(\S+)/.exec(line)
      if (!found) {
        if (/\[(error|fatal)\]/.test(line)) errors.push(line)
        return
      }
      // A clip that changes its size half-way makes the filters start again, from time 0.
      if (found[1] === '0' && frames.length > 0) start = frames.at(-1)!.ptsUs + stepUs
      const time = Number(found[2])
      // A stream without timestamps (NOPTS) is taken to run at the asked rate.
      const ptsUs = Number.isFinite(time) ? start + time : Math.round((frames.length * 1e6) / rate)
      const said = { ptsUs, clean: errors.length === 0 }
      waiting.get(frames.push(said) - 1)?.(said)
      waiting.delete(frames.length - 1)
    },
    frameAt: (index: number): Said | Promise<Said> =>
      frames[index] ?? new Promise<Said>(resolve => waiting.set(index, resolve)),
  }
}

/** Seconds that a clip lasts; one whose header does not say is decoded for it. */
async function durationOf(clip: ClipFile, info: ClipInfo, decoder: Decoder): Promise<number> {
  if (info.durationUs) return info.durationUs / 1e6
  let timeUs = 0
  const { ffmpeg, threads, signal, idleMs } = decoder
  const args = [...clipInput(clip), '-map', '0:v:0', '-f', 'null', '-']
  await collectFfmpeg(['-threads', String(threads), ...args], {
    ...{ ffmpeg, signal, idleMs, name: clip.path },
    onProgress: progress => (timeUs = Math.max(timeUs, progress.timeUs)),
  })
  return timeUs / 1e6
}

/**
 * Decodes a clip to JPEG frames, in order, with the timestamps of the container.
 *
 * @throws ClipError or PictureError (animated WebP) with a stable `code`; frames before the fault
 *   have been given
 */
export async function* decodeFrames(
  clip: ClipFile,
  sampling: Sampling,
  decoder: Decoder,
): AsyncGenerator<DecodedFrame> {
  const pictures = (await isWebp(clip))
    ? readAnimation(clip, sampling)
    : decodePictures(clip, sampling, decoder)
  yield* mapOrdered(pictures, ENCODERS, async ({ picture, ptsUs }, index) => {
    const image = await encodeJpeg(picture, 95, 'fast')
    return { index, ptsUs, width: picture.width, height: picture.height, image }
  })
}

/**
 * Decodes with all threads until the first error, and from there on with one: what a decoder makes
 * of damaged data depends on the number of its threads and on chance.
 */
async function* decodePictures(
  clip: ClipFile,
  sampling: Sampling,
  decoder: Decoder,
): AsyncGenerator<TimedPicture> {
  const info = await probeClip(clip, decoder.ffmpeg, decoder)
  const isSpread = sampling.select === 'uniform'
  const moments = momentsOf(sampling, isSpread ? await durationOf(clip, info, decoder) : 0)
  const plan = { clip, sampling, info, moments }
  let given = 0
  if (decoder.threads > 1) {
    let damaged = false
    try {
      for await (const { clean, ...picture } of runDecoder(plan, decoder)) {
        damaged = !clean
        if (damaged) break
        given++
        yield picture
      }
    } catch (thrown) {
      if (!(thrown instanceof ClipError) || thrown.code === 'stalled_clip') throw thrown
      damaged = true
    }
    if (!damaged) return
  }
  let index = 0
  for await (const { picture, ptsUs } of runDecoder(plan, { ...decoder, threads: 1 }))
    if (index++ >= given) yield { picture, ptsUs }
}

interface DecodingPlan {
  readonly clip: ClipFile
  readonly sampling: Sampling
  readonly info: ClipInfo
  readonly moments: Moments | undefined
}

async function* runDecoder(
  { clip, sampling, info, moments }: DecodingPlan,
  { ffmpeg, threads, signal, idleMs }: Decoder,
): AsyncGenerator<TimedPicture & { readonly clean: boolean }> {
  const said = followDecoder(sampling.fps, Math.round(1e6 / (info.fps ?? sampling.fps)))
  const args = [
    ...['-threads', String(threads), ...(moments ? [] : ['-skip_frame', 'nokey'])],
    ...clipInput(clip),
    ...['-map', '0:v:0', '-vf', filtersOf(moments, info, sampling.maxSide)],
    ...['-fps_mode', 'passthrough', '-c:v', 'ppm', '-f', 'image2pipe', 'pipe:1'],
  ]
  const output = runFfmpeg(args, {
    ...{ ffmpeg, signal, name: clip.path, logLevel: 'level+info', onMessage: said.onMessage },
    idleMs: idleMs + 1000 * (moments?.longestGap ?? 0),
  })
  let index = 0
  for await (const picture of readPpm(output, clip.path))
    yield { picture, ...(await said.frameAt(index++)) }
  const [first] = said.errors
  if (first === undefined) return
  throw new ClipError(
    'damaged_clip',
    `${clip.path}: ${said.errors.length} errors while decoding, the first: ${first}`,
    { path: clip.path, frames: index, errors: said.errors.length },
  )
}
