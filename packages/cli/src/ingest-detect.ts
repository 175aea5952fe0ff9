import { defineStage, flag, isInPart, parseShard, path, type Log } from '@deepfever/core'
import {
  itemOf,
  detectOptions,
  keepingOptions,
  openKnownFaces,
  writeClipFaces,
  type ClipStep,
  type KnownFaces,
} from '@deepfever/detect'
import {
  openForgotten,
  partPath,
  unionOfTerms,
  writeArtifact,
  type ArtifactWriter,
  type Forgotten,
} from '@deepfever/formats'
import {
  clipIdOf,
  decoderOptions,
  divisionOptions,
  faultOf,
  listClips,
  openTakings,
  samplingOf,
  samplingOptions,
  sourceOptions,
  type Clip,
  type Takings,
} from '@deepfever/ingest'
import { ffmpegVersion, findFfmpeg } from '@deepfever/media'
import { planClips } from './clip-plan.ts'

/** Clips to faces in one pass: frames are in memory only, as many as are under way. */
const clips = defineStage({
  name: 'ingest+detect clips',
  summary: 'clips to faces in one pass, keeping no frames',
  behaviour: 1,
  options: {
    ...detectOptions,
    ...sourceOptions,
    out: path('where the faces artifact goes; with --shard: into <out>.parts'),
    ...samplingOptions,
    ...keepingOptions,
    ...decoderOptions,
    ...divisionOptions,
    plan: flag({
      help: 'say what would be done, how long and how large, after a trial; write nothing',
      role: 'execution',
    }),
  },
  async run({ out, force, workers, shard, forget, retry, plan, ...options }, context) {
    const { log, work, signal } = context
    const sampling = samplingOf(options)
    const part = parseShard(shard)
    const forgotten = await openForgotten(forget)
    const list = await listClips(options, log)
    const items = list.clips.filter(clip => isInPart(clip.sha256, part))
    const ffmpeg = await findFfmpeg()
    const spec = {
      ...{ ...work, kind: 'faces', out: partPath(out, part), force: force || retry !== '' },
      identity: {
        ...{ ...work.identity, ffmpeg: await ffmpegVersion(ffmpeg) },
        ...(part && { shard: `${part.index}/${part.count}` }),
      },
      inputs: [{ role: 'clips', digest: list.digest }, ...forgotten.inputs],
      terms: unionOfTerms(items.map(({ terms }) => terms)),
    }
    const decoder = { ffmpeg, threads: options.threads, signal, idleMs: 1000 * options.idle }
    const knownFaces = () => (force ? undefined : openKnownFaces(spec, forgotten, retry))
    if (plan) {
      const known = (await knownFaces())?.clips ?? new Map<string, unknown>()
      const run = { sampling, decoder, keeping: options, workers, forgotten, out: spec.out }
      return planClips(items, known, run, log)
    }
    return writeArtifact(spec, log, async write => {
      write.describe(forgotten.metadata)
      const known = await knownFaces()
      const bar = log.progress('clips', items.length)
      const isDecoded = (clip: Clip, i: number) =>
        !write.isDone(itemOf(nameOf(clip))) &&
        faultOf(clip, items[i - 1], forgotten) === undefined &&
        !known?.clips.has(clipIdOf(clip))
      const takings = openTakings(items.filter(isDecoded), sampling, decoder)
      const how = { items, takings, forgotten, known, advance: () => bar.advance() }
      const work = { keeping: options, still: options.still, workers, forgotten, known }
      try {
        await writeClipFaces(stepsOf(how, write, log), work, context, write)
      } finally {
        takings.close()
      }
      bar.done()
    })
  },
})

interface Steps {
  readonly items: readonly Clip[]
  readonly takings: Takings
  readonly forgotten: Forgotten
  readonly known: KnownFaces | undefined
  advance(): void
}

const nameOf = (clip: Clip) => ({ clipId: clipIdOf(clip), clipName: clip.name })

async function* stepsOf(
  { items, takings, forgotten, known, advance }: Steps,
  write: ArtifactWriter,
  log: Log,
): AsyncGenerator<ClipStep> {
  for (const [i, item] of items.entries()) {
    advance()
    const clip = nameOf(item)
    if (write.isDone(itemOf(clip))) continue
    const fault = faultOf(item, items[i - 1], forgotten)
    if (fault !== undefined) yield { clip, end: { frames: 0, code: fault } }
    else if (known?.clips.has(clip.clipId)) yield { clip, known: true }
    else {
      const taking = takings.take(item)
      let frames = 0
      let next = await taking.next()
      for (; !next.done; next = await taking.next()) {
        const { ptsUs, image } = next.value
        const frameId = `${clip.clipId}@${ptsUs}`
        if (forgotten.frames.has(frameId)) continue
        frames++
        yield { clip, frameId, image }
      }
      const code = next.value || (frames > 0 ? '' : 'no_frames')
      if (frames > 0 && code !== '')
        log.event('ended early', { clip: item.name, code, framesKept: frames })
      yield { clip, end: { frames, code } }
    }
  }
}

/** The stages of this room, for the command line. */
export const stages = [clips]
