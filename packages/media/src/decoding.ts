import { mapOrdered } from '@deepfever/core'
import { pictureKindOfClip, readAnimation, type TimedPicture } from './animation.ts'
import { openHeader, probeClip, refuseEmpty, type ClipHeader } from './clips.ts'
import { followDecoder } from './decoder-report.ts'
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
/** Pictures that ffmpeg holds back while the pipe is full. */
const QUEUE = 16

/**
 * The filter chain: upright square pixels, true timestamps in microseconds, RGB on black. Rotation
 * is applied by ffmpeg before it.
 */
function filtersOf(moments: Moments | undefined, alpha: boolean, maxSide: number): string {
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
    // Planar first: the same pixels, by vector code; straight to rgb24 takes six times as long.
    'format=gbrp',
    'format=rgb24',
    'settb=1/1000000',
    'showinfo=checksum=0',
  ].join(',')
}

/** Seconds that a clip lasts; one whose header does not say is decoded for it. */
async function durationOf(clip: ClipFile, decoder: Decoder): Promise<number> {
  const info = await probeClip(clip, decoder.ffmpeg, decoder)
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
  const kind = await pictureKindOfClip(clip)
  // Memory of pictures that are encoded is used again: collecting it took a twelfth of the time.
  let spare: Uint8Array[] = []
  const memoryOf = (sizeBytes: number) => {
    if (spare[0]?.length !== sizeBytes) spare = []
    return spare.pop() ?? Buffer.allocUnsafeSlow(sizeBytes)
  }
  const pictures =
    kind === 'webp'
      ? readAnimation(clip, sampling)
      : decodePictures({ clip, sampling, memoryOf }, kind === 'gif', decoder)
  yield* mapOrdered(pictures, ENCODERS, async ({ picture, ptsUs }, index) => {
    const { width, height, data } = picture
    const image = await encodeJpeg(picture, 95, 'fast')
    if (spare.length < ENCODERS) spare.push(data)
    return { index, ptsUs, width, height, image }
  })
}

/**
 * Decodes with all threads until the first error, and from there on with one: what a decoder makes
 * of damaged data depends on the number of its threads and on chance. The header comes with the
 * frames, since another process for it would take as long as a short clip; where it says that
 * `alpha` was wrong, decoding begins again.
 */
async function* decodePictures(
  how: Pick<DecodingPlan, 'clip' | 'sampling' | 'memoryOf'>,
  alpha: boolean,
  decoder: Decoder,
): AsyncGenerator<TimedPicture> {
  const { clip, sampling } = how
  await refuseEmpty(clip)
  const seconds = sampling.select === 'uniform' ? await durationOf(clip, decoder) : 0
  const moments = momentsOf(sampling, seconds)
  let { threads } = decoder
  let given = 0
  for (;;) {
    const header = openHeader(clip)
    const plan = { ...how, moments, alpha, header }
    let index = 0
    let isDamaged = false
    try {
      for await (const { clean, ...picture } of runDecoder(plan, { ...decoder, threads })) {
        if (index === 0) ({ alpha } = header.read())
        isDamaged = threads > 1 && !clean
        if (alpha !== plan.alpha || isDamaged) break
        if (index++ < given) continue
        given++
        yield picture
      }
      if (index === 0) ({ alpha } = header.read())
    } catch (thrown) {
      if (!(thrown instanceof ClipError) || thrown.code === 'stalled_clip') throw thrown
      header.read(thrown)
      if (threads === 1) throw thrown
      isDamaged = true
    }
    if (isDamaged) threads = 1
    else if (alpha === plan.alpha) return
  }
}

interface DecodingPlan {
  readonly clip: ClipFile
  readonly sampling: Sampling
  readonly moments: Moments | undefined
  readonly alpha: boolean
  readonly header: ClipHeader
  /** memory for a picture of so many bytes */
  readonly memoryOf: (sizeBytes: number) => Uint8Array
}

async function* runDecoder(
  { clip, sampling, moments, alpha, header, memoryOf }: DecodingPlan,
  { ffmpeg, threads, signal, idleMs }: Decoder,
): AsyncGenerator<TimedPicture & { readonly clean: boolean }> {
  const { fps, maxSide } = sampling
  const said = followDecoder(fps, () => Math.round(1e6 / (header.fps() ?? fps)))
  const args = [
    ...['-threads', String(threads), ...(moments ? [] : ['-skip_frame', 'nokey'])],
    ...clipInput(clip),
    ...['-map', '0:v:0', '-vf', filtersOf(moments, alpha, maxSide)],
    ...['-fps_mode', 'passthrough', '-c:v', 'ppm'],
    // Written by a thread of its own: the decoder goes on while the pipe is full.
    ...['-f', 'fifo', '-fifo_format', 'image2pipe', '-queue_size', String(QUEUE), 'pipe:1'],
  ]
  const output = runFfmpeg(args, {
    ...{ ffmpeg, signal, name: clip.path, logLevel: 'level+info' },
    onMessage(line) {
      header.onMessage(line)
      said.onMessage(line)
    },
    idleMs: idleMs + 1000 * (moments?.longestGap ?? 0),
  })
  let index = 0
  for await (const picture of readPpm(output, clip.path, memoryOf))
    yield { picture, ...(await said.frameAt(index++)) }
  const [first] = said.errors
  if (first === undefined) return
  throw new ClipError(
    'damaged_clip',
    `${clip.path}: ${said.errors.length} errors while decoding, the first: ${first}`,
    { path: clip.path, frames: index, errors: said.errors.length },
  )
}
