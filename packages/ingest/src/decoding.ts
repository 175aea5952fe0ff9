import { mapOrdered } from '@deepfever/core'
import { clipInput, encodeJpeg, runFfmpeg, type Ffmpeg } from '@deepfever/media'
import { readPpm } from './ppm.ts'

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
export interface Sampling {
  /** frames a second: the first frame at or after every multiple of 1 / fps */
  readonly fps: number
  /** longest side in pixels; larger frames are scaled down */
  readonly maxSide: number
}

/** Pictures under way between decoder and shard. */
const ENCODERS = 4

/** Half a millisecond: containers that count in milliseconds round a tick down. */
const TICK_SLACK = 0.0005

/**
 * The filter chain: upright square pixels, true timestamps in microseconds, RGB. Rotation is
 * applied by ffmpeg before it.
 */
function filtersOf({ fps, maxSide }: Sampling): string {
  const tick = (time: string) => `floor((${time}+${TICK_SLACK})*${fps})`
  const sar = 'if(gt(sar,0),sar,1)'
  const scale = `min(1,${maxSide}/max(iw*${sar},ih))`
  const side = (of: string) => `'max(1,round(${of}*${scale}))'`
  return [
    'setpts=PTS-STARTPTS',
    `select='isnan(prev_selected_t)+gt(${tick('t')},${tick('prev_selected_t')})'`,
    `scale=w=${side(`iw*${sar}`)}:h=${side('ih')}:flags=bicubic+accurate_rnd+full_chroma_int`,
    'setsar=1',
    'format=rgb24',
    'settb=1/1000000',
    'showinfo=checksum=0',
  ].join(',')
}

/** Numbers that arrive on one stream and are awaited, by position, on another. */
function openClock(fps: number) {
  const times: number[] = []
  let wake = () => {}
  return {
    onMessage(line: string) {
      const found = /Parsed_showinfo.* n: *\d+ pts: *(\S+)/.exec(line)
      if (!found) return
      const time = Number(found[1])
      // A stream without timestamps (NOPTS) is taken to run at the asked rate.
      times.push(Number.isFinite(time) ? time : Math.round((times.length * 1e6) / fps))
      wake()
    },
    async at(index: number): Promise<number> {
      while (times.length <= index) await new Promise<void>(resolve => (wake = resolve))
      return times[index]!
    },
  }
}

/**
 * Decodes a clip to JPEG frames, in order, with the timestamps of the container.
 *
 * @throws ClipError when ffmpeg cannot open or decode it; frames before the fault have been given
 */
export async function* decodeFrames(
  path: string,
  ffmpeg: Ffmpeg,
  sampling: Sampling,
  { threads, signal }: { threads: number; signal: AbortSignal },
): AsyncGenerator<DecodedFrame> {
  const clock = openClock(sampling.fps)
  const args = [
    ...['-threads', String(threads)],
    ...clipInput(path),
    ...['-map', '0:v:0', '-vf', filtersOf(sampling), '-fps_mode', 'passthrough'],
    ...['-c:v', 'ppm', '-f', 'image2pipe', 'pipe:1'],
  ]
  const output = runFfmpeg(args, {
    ...{ ffmpeg, name: path, signal },
    logLevel: 'info',
    onMessage: clock.onMessage,
  })
  yield* mapOrdered(readPpm(output, path), ENCODERS, async (picture, index) => {
    const image = await encodeJpeg(picture)
    const { width, height } = picture
    return { index, ptsUs: await clock.at(index), width, height, image }
  })
}
