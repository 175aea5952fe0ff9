import { join } from 'node:path'
import {
  StageError,
  commonOptions,
  defineStage,
  integer,
  number,
  optionalPath,
  path,
} from '@deepfever/core'
import { openSource, type SourceFile } from '@deepfever/datasets'
import { frames, writeArtifact, type ArtifactWriter } from '@deepfever/formats'
import { ClipError, ffmpegVersion, findFfmpeg, type Ffmpeg } from '@deepfever/media'
import { decodeFrames, type Sampling } from './decoding.ts'

const CLIP = /\.(mp4|m4v|mov|mkv|webm|avi|mpe?g|m?ts|m2ts|3gp|flv|wmv|asf|ogv|gif|webp)$/i

/** Decodes every clip of a folder at a fixed rate into frame shards. */
export const videos = defineStage({
  name: 'ingest videos',
  summary: 'clips to frames at a rate, as JPEG in Arrow shards',
  behaviour: 1,
  options: {
    ...commonOptions,
    source: optionalPath('folder of clips, searched with its subfolders'),
    index: optionalPath('index of raw data instead (made by: npx deepfever datasets index)'),
    out: path('where the frames artifact goes'),
    fps: number({ help: 'frames a second', standard: 1, min: 0.001, max: 240 }),
    maxSide: integer({
      help: 'longest side in pixels; larger frames are scaled down',
      standard: 1280,
      min: 16,
      max: 8192,
    }),
    threads: integer({ help: 'of the decoder', role: 'execution', standard: 2, min: 1, max: 64 }),
  },
  async run({ source, index, out, force, threads, ...sampling }, context) {
    const { log, work, signal } = context
    const raw = await openSource({ source, index, corpus: 'videos' }, log)
    const inputs = [{ role: 'clips', digest: raw.digest }]
    return writeArtifact({ ...work, kind: 'frames', inputs, out, force }, log, async write => {
      const clips = raw.files.filter(file => CLIP.test(file.path))
      const others = raw.files.length - clips.length
      if (others > 0) log.event('ignored', { files: others, reason: 'not named as a clip' })
      const ffmpeg = await findFfmpeg()
      write.describe({ ffmpeg: await ffmpegVersion(ffmpeg) })
      const bar = log.progress('clips', clips.length)
      const seen = new Set<string>()
      for (const clip of clips) {
        context.checkpoint()
        if (!write.isDone(clip.path)) {
          const place = join(raw.root, clip.path)
          if (clip.sizeBytes === 0) write.reject('empty_file', clip.path)
          else if (seen.has(clip.sha256)) write.reject('duplicate_clip', clip.path)
          else await ingestClip(clip, place, { ffmpeg, sampling, threads, signal, write })
          await write.done(clip.path)
        }
        seen.add(clip.sha256)
        bar.advance()
      }
      bar.done()
    })
  },
})

/** Frames of one clip; one that breaks half-way keeps its good frames. */
async function ingestClip(
  { path: clipName, sha256 }: SourceFile,
  place: string,
  how: {
    ffmpeg: Ffmpeg
    sampling: Sampling
    threads: number
    signal: AbortSignal
    write: ArtifactWriter
  },
): Promise<void> {
  const { write, signal } = how
  const clipId = sha256.slice(0, 16)
  let count = 0
  let fault = 'no_frames'
  try {
    for await (const frame of decodeFrames(place, how.ffmpeg, how.sampling, how)) {
      const frameId = `${clipId}@${frame.ptsUs}`
      await write.append(frames, { frameId, clipId, clipName, ...frame })
      count++
    }
  } catch (thrown) {
    if (signal.aborted) throw new StageError('stopped; the same command goes on', {})
    if (!(thrown instanceof ClipError)) throw thrown
    fault = thrown.code
  }
  if (count > 0) write.accept()
  else write.reject(fault, clipName)
}
