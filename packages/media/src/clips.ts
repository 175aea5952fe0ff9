import { stat } from 'node:fs/promises'
import type { Ffmpeg } from './ffmpeg-binary.ts'
import { clipInput, collectFfmpeg, type ClipFile } from './ffmpeg.ts'
import { ClipError } from './media-errors.ts'

/** What a clip's header says; a field is undefined where the container does not say it. */
export interface ClipInfo {
  readonly container: string
  readonly codec: string
  /** as stored, before any rotation */
  readonly width: number
  readonly height: number
  readonly durationUs: number | undefined
  readonly fps: number | undefined
  /** whether pixels may be transparent */
  readonly alpha: boolean
}

const MESSAGE_LIMIT = 2000
const protectedClip = /DRM protected stream|Media is protected|is encrypted/
/** Lines that come with every refusal. */
const noise = /^(Error opening|Last message|Format .* detected only|Not detecting)/
const level = /^((?:\[[^\]]* @ 0x[0-9a-f]+\] )?)\[(?:fatal|error|warning|info|verbose)\] /

/** What ffmpeg says of a clip before its first frame, read line by line. */
export interface ClipHeader {
  readonly onMessage: (line: string) => void
  /** frames a second, as far as it is known */
  fps(): number | undefined
  /** @throws ClipError as `probeClip`; `cause` is how ffmpeg ended when it failed */
  read(cause?: ClipError): ClipInfo
}

/** Follows the lines of an ffmpeg process that opens a clip, at log level info. */
export function openHeader({ path }: ClipFile): ClipHeader {
  const lines: string[] = []
  return {
    onMessage(line) {
      if (lines.length < MESSAGE_LIMIT) lines.push(line.replace(level, '$1'))
    },
    fps: () => rateOf(lines.find(isVideo) ?? ''),
    read(cause) {
      const isOpen = lines.some(line => line.startsWith('Input #0, '))
      if (cause && !isOpen) throw toRefusal(path, lines, cause)
      return parseClip(path, lines)
    },
  }
}

/** @throws ClipError `empty_file` */
export async function refuseEmpty({ path, part }: ClipFile): Promise<void> {
  const size = part?.sizeBytes ?? (await stat(path)).size
  if (size === 0) throw new ClipError('empty_file', `${path}: the file is empty`, { path })
}

/**
 * Reads a clip's header with ffmpeg itself; decodes nothing.
 *
 * @throws ClipError `empty_file`, `unsupported_container`, `undecodable_clip`, `no_video_stream`,
 *   `encrypted_clip`
 */
export async function probeClip(
  clip: ClipFile | string,
  ffmpeg: Ffmpeg,
  { idleMs, signal }: { idleMs?: number; signal?: AbortSignal } = {},
): Promise<ClipInfo> {
  const file: ClipFile = typeof clip === 'string' ? { path: clip } : clip
  await refuseEmpty(file)
  const { onMessage, read } = openHeader(file)
  try {
    // Without an output ffmpeg describes the input and ends with an error, which is no news.
    await collectFfmpeg(clipInput(clip), {
      ...{ ffmpeg, name: file.path, logLevel: 'info', onMessage },
      ...{ idleMs, signal },
    })
  } catch (thrown) {
    if (!(thrown instanceof ClipError) || thrown.code !== 'undecodable_clip') throw thrown
    return read(thrown)
  }
  return read()
}

function toRefusal(path: string, lines: readonly string[], cause: ClipError): ClipError {
  const foreign = lines.some(line => line.includes('not on whitelist'))
  const said =
    lines
      .map(line => line.replace(/^\[.* @ 0x[0-9a-f]+\] /, '').trim())
      .find(line => line !== '' && !noise.test(line)) ?? 'no message'
  return foreign
    ? new ClipError(
        'unsupported_container',
        `${path}: not a container that is read`,
        { path },
        cause,
      )
    : new ClipError(
        'undecodable_clip',
        `${path}: no clip ffmpeg can read: ${said}`,
        { path },
        cause,
      )
}

function parseClip(path: string, lines: readonly string[]): ClipInfo {
  const container = /^Input #0, (.+), from /.exec(find(lines, /^Input #0, /))?.[1] ?? ''
  const video = lines.find(isVideo)
  if (/\((encv|drmi) \//.test(video ?? '') || lines.some(line => protectedClip.test(line)))
    throw new ClipError('encrypted_clip', `${path}: is encrypted (DRM)`, { path, container })
  const size = video && /, (\d+)x(\d+)/.exec(video)
  if (!video || !size) {
    throw new ClipError('no_video_stream', `${path}: holds no video stream`, { path, container })
  }
  const clock = /^ {2}Duration: (\d+):(\d\d):(\d\d(?:\.\d+)?)/.exec(find(lines, /^ {2}Duration: /))
  return {
    container,
    codec: /: Video: (\w+)/.exec(video)?.[1] ?? '',
    width: Number(size[1]),
    height: Number(size[2]),
    durationUs: clock
      ? Math.round((Number(clock[1]) * 3600 + Number(clock[2]) * 60 + Number(clock[3])) * 1e6)
      : undefined,
    alpha: /: Video: .*?, (yuva|rgba|bgra|argb|abgr|gbrap|ya8|ya16|pal8)/.test(video),
    fps: rateOf(video),
  }
}

const isVideo = (line: string): boolean =>
  /^ {2}Stream #0:\d+.*?: Video: /.test(line) && !line.includes('(attached pic)')

function rateOf(video: string): number | undefined {
  const rate = /, ([\d.]+)(k?) fps/.exec(video) ?? /, ([\d.]+)(k?) tbr/.exec(video)
  return rate ? Number(rate[1]) * (rate[2] ? 1000 : 1) : undefined
}

const find = (lines: readonly string[], shape: RegExp): string =>
  lines.find(line => shape.test(line)) ?? ''
