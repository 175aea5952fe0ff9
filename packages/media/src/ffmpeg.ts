import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import type { Readable } from 'node:stream'
import type { Ffmpeg } from './ffmpeg-binary.ts'
import { ClipError } from './media-errors.ts'
import { openWidePipe } from './wide-pipe.ts'

/** How far ffmpeg is, as its `-progress` reports say. */
export interface FfmpegProgress {
  readonly frame: number
  readonly timeUs: number
}

/** How an ffmpeg process is run. */
export interface FfmpegOptions {
  readonly ffmpeg: Ffmpeg
  /** what the process reads, for errors */
  readonly name: string
  /** bytes for its standard input; none: the input is closed */
  readonly stdin?: Uint8Array | undefined
  /** killed when it neither wrote nor advanced for so long while waited for; default 30 s */
  readonly idleMs?: number | undefined
  readonly logLevel?: 'error' | 'warning' | 'info' | 'level+info' | undefined
  readonly onProgress?: ((progress: FfmpegProgress) => void) | undefined
  /** each line of its standard error, as it comes */
  readonly onMessage?: ((line: string) => void) | undefined
  readonly signal?: AbortSignal | undefined
}

const IDLE_MS = 30_000
const TAIL_LINES = 12
const LINE_LIMIT = 500

/**
 * Containers that hold their own bytes. Playlists and scripts (hls, dash, concat, image2, …) name
 * other files and are never opened.
 */
const containers =
  'mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,mpegvideo,m4v,gif,ogg,flv,asf,ivf,nut,yuv4mpegpipe'

/** A clip: a file, or the bytes of one inside another (a member of a tar file). */
export interface ClipFile {
  readonly path: string
  readonly part?: { readonly start: number; readonly sizeBytes: number } | undefined
}

/** The arguments that open a clip file as an input: local files and known containers only. */
export function clipInput(clip: ClipFile | string): string[] {
  const { path, part }: ClipFile = typeof clip === 'string' ? { path: clip } : clip
  // The prefix keeps a name such as `concat:a|b` or `-y` a name.
  const file = `file:${path}`
  return [
    ...['-protocol_whitelist', part ? 'file,pipe,subfile' : 'file,pipe'],
    ...['-format_whitelist', containers],
    ...[
      '-i',
      part ? `subfile,,start,${part.start},end,${part.start + part.sizeBytes},,:${file}` : file,
    ],
  ]
}

/**
 * Runs ffmpeg with an argument list and yields its standard output, each piece valid until the next
 * is asked for; ends when the process has ended well. Leaving the loop early, the signal and the idle limit kill the process.
 *
 * @throws ClipError `undecodable_clip` with ffmpeg's last lines, or `stalled_clip`
 */
export async function* runFfmpeg(
  args: readonly string[],
  { ffmpeg, name, stdin, idleMs = IDLE_MS, logLevel = 'error', ...hooks }: FfmpegOptions,
): AsyncGenerator<Uint8Array, void> {
  hooks.signal?.throwIfAborted()
  const quiet = ['-nostdin', '-hide_banner', '-nostats', '-loglevel', logLevel]
  const output = await openWidePipe()
  const child = spawn(ffmpeg.path, [...quiet, '-progress', 'pipe:3', ...args], {
    stdio: [stdin ? 'pipe' : 'ignore', output.childEnd, 'pipe', 'pipe'],
    signal: hooks.signal,
    killSignal: 'SIGKILL',
  })
  output.childEnd.destroy()
  const closed = once(child, 'close') as Promise<[number | null, NodeJS.Signals | null]>
  closed.catch(() => {}) // looked at below, or the loop was left before
  const idle = openIdleLimit(child, idleMs)
  const tail = followMessages(child.stderr!, hooks.onMessage)
  let last = { frame: 0, timeUs: 0 }
  followProgress(child.stdio[3] as Readable, progress => {
    // ffmpeg goes on reporting while its decoder hangs.
    if (progress.frame > last.frame || progress.timeUs > last.timeUs) idle.touch()
    last = progress
    hooks.onProgress?.(progress)
  })
  // A process that ends before it has read everything is judged by its exit code, not by EPIPE.
  child.stdin?.on('error', () => {}).end(stdin)
  try {
    const pieces = output.pieces()
    for (;;) {
      idle.start()
      const { done, value } = await pieces.next()
      idle.stop()
      if (done) break
      yield value
    }
    idle.start()
    const [exitCode, killedBy] = await closed
    if (exitCode === 0) return
    const fields = { name, exitCode, signal: killedBy, stderr: tail.join('\n') }
    throw idle.over()
      ? new ClipError(
          'stalled_clip',
          `${name}: ffmpeg made no progress for ${idleMs} ms, ended`,
          fields,
        )
      : new ClipError(
          'undecodable_clip',
          `${name}: ffmpeg ended with ${exitCode ?? killedBy}: ${tail.at(-1) ?? 'no message'}`,
          fields,
        )
  } finally {
    idle.stop()
    if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL')
    // Unread output would hold back the end of the process for good.
    output.destroy()
    await closed.catch(() => {})
  }
}

/** Runs ffmpeg for what it writes elsewhere: as `runFfmpeg`, its standard output collected. */
export async function collectFfmpeg(
  args: readonly string[],
  options: FfmpegOptions,
): Promise<Uint8Array> {
  const pieces: Uint8Array[] = []
  for await (const piece of runFfmpeg(args, options)) pieces.push(piece.slice())
  return Buffer.concat(pieces)
}

/** The version that `ffmpeg -version` names, for manifests: another one may decode otherwise. */
export async function ffmpegVersion(ffmpeg: Ffmpeg): Promise<string> {
  const child = spawn(ffmpeg.path, ['-version'], { stdio: ['ignore', 'pipe', 'ignore'] })
  const chunks: Buffer[] = []
  child.stdout.on('data', (chunk: Buffer) => chunks.push(chunk))
  await once(child, 'close')
  return /^ffmpeg version (\S+)/.exec(Buffer.concat(chunks).toString())?.[1] ?? 'unknown'
}

/** Counts only the time in which output is waited for: a slow reader is no stall. */
function openIdleLimit(child: ChildProcess, idleMs: number) {
  let timer: NodeJS.Timeout | undefined
  let over = false
  const stop = () => {
    clearTimeout(timer)
    timer = undefined
  }
  const start = () => {
    stop()
    timer = setTimeout(() => {
      over = true
      child.kill('SIGKILL')
    }, idleMs)
  }
  return { start, stop, touch: () => timer?.refresh(), over: () => over }
}

/** Keeps the last lines of a stream; the array fills while the process runs. */
function followMessages(stream: Readable, onMessage?: (line: string) => void): string[] {
  const tail: string[] = []
  createInterface({ input: stream }).on('line', line => {
    onMessage?.(line)
    if (line.trim() === '') return
    tail.push(line.slice(0, LINE_LIMIT))
    if (tail.length > TAIL_LINES) tail.shift()
  })
  return tail
}

function followProgress(stream: Readable, onProgress: (progress: FfmpegProgress) => void): void {
  let frame = 0
  let timeUs = 0
  createInterface({ input: stream }).on('line', line => {
    const [key, value = ''] = line.split('=', 2)
    if (key === 'frame') frame = Number(value) || 0
    else if (key === 'out_time_us') timeUs = Number(value) || 0
    else if (key === 'progress') onProgress({ frame, timeUs })
  })
}
