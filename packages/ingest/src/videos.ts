import {
  UsageError,
  choice,
  commonOptions,
  defineStage,
  integer,
  isInPart,
  number,
  optionalPath,
  parseShard,
  path,
  shardOption,
  text,
  type Values,
} from '@deepfever/core'
import {
  clips,
  frames,
  openEarlier,
  openForgotten,
  openGroups,
  partPath,
  unionOfTerms,
  writeArtifact,
  type ArtifactSpec,
  type ArtifactWriter,
  type ClipRow,
  type Forgotten,
  type Frame,
  type Groups,
} from '@deepfever/formats'
import { ffmpegVersion, findFfmpeg, type Sampling } from '@deepfever/media'
import { clipIdOf, faultOf, listClips, sourceOptions, type Clip } from './clip-list.ts'
import { openTakings, type Taking } from './takings.ts'

/** How frames are taken from a clip. */
export const samplingOptions = {
  select: choice({
    help: 'rate: --fps; key: key frames; uniform: --count, evenly spread; times: --times',
    choices: ['rate', 'key', 'uniform', 'times'],
    standard: 'rate',
  }),
  fps: number({ help: 'frames a second', standard: 1, min: 0.001, max: 240 }),
  count: integer({ help: 'frames a clip, for uniform', standard: 16, min: 1, max: 100_000 }),
  times: text({ help: 'seconds, ascending: 0,1.5,3', standard: '' }),
  maxSide: integer({
    help: 'longest side in pixels; larger frames are scaled down',
    standard: 1280,
    min: 16,
    max: 8192,
  }),
}

/** How the decoder is run. */
export const decoderOptions = {
  threads: integer({ help: 'of the decoder', role: 'execution', standard: 2, min: 1, max: 64 }),
  idle: number({
    help: 'seconds without progress after which a decoder is ended',
    ...{ role: 'execution', standard: 30, min: 0.1, max: 3600 },
  }),
}

/** Doing a part of the clips, without some, or some again. */
export const divisionOptions = {
  shard: shardOption,
  forget: optionalPath('forget.txt: clip digests and face ids that must not be used'),
  retry: text({ help: 'do again the clips with this code', role: 'execution', standard: '' }),
}

const TIMES_LIMIT = 1000

/** @throws UsageError when the times are no ascending numbers, or missing where they are wanted */
export function samplingOf(options: Values<typeof samplingOptions>): Sampling {
  const { select, times: list } = options
  const times = list === '' ? [] : list.split(',').map(Number)
  const ascending = times.every((time, i) => time >= 0 && !(time <= times[i - 1]!))
  if (!ascending || times.length > TIMES_LIMIT || (select === 'times') !== times.length > 0)
    throw new UsageError(
      `--times=${list}: wanted 1 to ${TIMES_LIMIT} ascending numbers with --select=times, else none`,
      { found: list },
    )
  return { ...options, times }
}

/** What an earlier run of the same options holds. */
interface Known {
  readonly clips: ReadonlyMap<string, ClipRow>
  readonly frames: Groups<Frame> | undefined
}

/** Clips that an earlier run has decoded as this one would; those with the code `retry` left out. */
async function openKnown(
  spec: ArtifactSpec,
  metadata: Readonly<Record<string, unknown>>,
  forgotten: Forgotten,
  retry: string,
): Promise<Known> {
  const earlier = await openEarlier(spec)
  const known = new Map<string, ClipRow>()
  const usable = earlier?.manifest.metadata.ffmpeg === metadata.ffmpeg && forgotten.covers(earlier!)
  if (!earlier || !usable) return { clips: known, frames: undefined }
  if (earlier.manifest.tables.clips)
    for await (const row of earlier.rows(clips))
      if (!(row.code in fresh) && (retry === '' || row.code !== retry)) known.set(row.clipId, row)
  const rows = earlier.manifest.tables.frames && earlier.rows(frames)
  return { clips: known, frames: rows && openGroups(rows, row => row.clipId) }
}

/** Codes that depend on more than the clip itself; they are given anew by every run. */
const fresh = { duplicate_clip: true, forgotten: true, empty_file: true }

async function openFfmpeg() {
  const ffmpeg = await findFfmpeg()
  return { ffmpeg, version: await ffmpegVersion(ffmpeg) }
}

/** Decodes every clip of a source into frame shards. */
export const videos = defineStage({
  name: 'ingest videos',
  summary: 'clips to frames, as JPEG in Arrow shards',
  behaviour: 3,
  options: {
    ...commonOptions,
    ...sourceOptions,
    out: path('where the frames artifact goes; with --shard: into <out>.parts'),
    ...samplingOptions,
    ...decoderOptions,
    ...divisionOptions,
  },
  async run({ out, shard, forget, retry, threads, idle, ...options }, context) {
    const { log, work, signal } = context
    const sampling = samplingOf(options)
    const part = parseShard(shard)
    const forgotten = await openForgotten(forget)
    // Asked for its version while clips are hashed; where nothing is to be done it may be missing.
    const decoding = openFfmpeg()
    decoding.catch(() => {})
    const list = await listClips(options, log)
    const items = list.clips.filter(clip => isInPart(clip.sha256, part))
    const spec = {
      ...{ ...work, kind: 'frames', out: partPath(out, part) },
      identity: { ...work.identity, ...(part && { shard: `${part.index}/${part.count}` }) },
      inputs: [{ role: 'clips', digest: list.digest }, ...forgotten.inputs],
      terms: unionOfTerms(items.map(({ terms }) => terms)),
      force: options.force || retry !== '',
    }
    return writeArtifact(spec, log, async write => {
      const { ffmpeg, version } = await decoding
      const metadata = { ffmpeg: version, ...forgotten.metadata }
      write.describe(metadata)
      const known = options.force ? undefined : await openKnown(spec, metadata, forgotten, retry)
      const decoder = { ffmpeg, threads, signal, idleMs: 1000 * idle }
      const idOf = (clip: Clip) => `${clip.sha256} ${clip.name}`
      const isDecoded = (clip: Clip, i: number) =>
        !write.isDone(idOf(clip)) &&
        faultOf(clip, items[i - 1], forgotten) === undefined &&
        !known?.clips.has(clipIdOf(clip))
      const takings = openTakings(items.filter(isDecoded), sampling, decoder)
      const bar = log.progress('clips', items.length)
      try {
        for (const [i, clip] of items.entries()) {
          context.checkpoint()
          const id = idOf(clip)
          if (!write.isDone(id)) {
            const fault = faultOf(clip, items[i - 1], forgotten)
            const earlier = known?.clips.get(clipIdOf(clip))
            const taking = () => (earlier ? copyFrames(earlier, known!) : takings.take(clip))
            const { count, code } = fault
              ? { count: 0, code: fault }
              : await keepFrames(clip, taking(), forgotten, write)
            if (count > 0) write.accept()
            else write.reject(code, clip.name)
            if (count > 0 && code !== '')
              log.event('ended early', { clip: clip.name, code, framesKept: count })
            const row = { clipId: clipIdOf(clip), clipName: clip.name, frames: count, code }
            await write.append(clips, row)
            await write.done(id)
          }
          bar.advance()
        }
      } finally {
        takings.close()
      }
      bar.done()
    })
  },
})

async function* copyFrames({ clipId, code }: ClipRow, known: Known): Taking {
  if (known.frames) yield* known.frames.take(clipId)
  return code
}

async function keepFrames(
  clip: Clip,
  taking: Taking,
  forgotten: Forgotten,
  write: ArtifactWriter,
): Promise<{ count: number; code: string }> {
  const clipId = clipIdOf(clip)
  let count = 0
  for (;;) {
    const { done, value } = await taking.next()
    if (done) return { count, code: value || (count > 0 ? '' : 'no_frames') }
    const frameId = `${clipId}@${value.ptsUs}`
    if (forgotten.frames.has(frameId)) continue
    await write.append(frames, { ...value, frameId, clipId, clipName: clip.name })
    count++
  }
}
