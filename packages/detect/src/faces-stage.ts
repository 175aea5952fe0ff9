import {
  commonOptions,
  defineStage,
  integer,
  optionalPath,
  parseShard,
  path,
  shardOption,
  text,
} from '@deepfever/core'
import {
  clips,
  frames,
  inputOf,
  openArtifact,
  openForgotten,
  partPath,
  sha256,
  writeArtifact,
  type Artifact,
  type ArtifactWriter,
} from '@deepfever/formats'
import { keepingOptions } from './clip-faces.ts'
import {
  groupsOf,
  itemOf,
  openKnownFaces,
  writeClipFaces,
  type ClipStep,
  type KnownFaces,
} from './faces-writer.ts'

/** Options of every detecting stage. */
export const detectOptions = {
  ...commonOptions,
  workers: integer({
    help: 'pictures under way at once, each on one core',
    role: 'execution',
    standard: 2,
    min: 1,
    max: 256,
  }),
}

/** How frames were made, apart from what of and in how many parts. */
function recipeOf({ manifest: { stage, behaviour, identity, metadata } }: Artifact): string {
  const { shard, ...options } = identity
  void shard
  return sha256(JSON.stringify([stage, behaviour, options, metadata.ffmpeg])).slice(0, 16)
}

/** Every face of every frame, gated and followed through its clip. */
export const facesStage = defineStage({
  name: 'detect faces',
  summary: 'faces of the frames of clips, as 140-pixel crops in Arrow shards',
  behaviour: 2,
  options: {
    ...detectOptions,
    frames: path('frames artifact; with --shard: a part of it'),
    out: path('where the faces artifact goes; with --shard: into <out>.parts'),
    ...keepingOptions,
    shard: shardOption,
    forget: optionalPath('forget.txt: clip digests and face ids that must not be used'),
    retry: text({ help: 'do again the clips with this code', role: 'execution', standard: '' }),
  },
  async run({ out, force, workers, shard, forget, retry, ...options }, { log, work, checkpoint }) {
    const part = parseShard(shard)
    const source = await openArtifact(partPath(options.frames, part), 'frames')
    const forgotten = await openForgotten(forget)
    const spec = {
      ...{ ...work, kind: 'faces', out: partPath(out, part), force: force || retry !== '' },
      identity: {
        ...{ ...work.identity, frames: recipeOf(source) },
        ...(part && { shard: `${part.index}/${part.count}` }),
      },
      inputs: [inputOf('frames', source), ...forgotten.inputs],
    }
    return writeArtifact(spec, log, async write => {
      write.describe(forgotten.metadata)
      const known = force ? undefined : await openKnownFaces(spec, forgotten, retry)
      const bar = log.progress('frames', source.manifest.tables.frames?.rows ?? 0)
      const steps = stepsOf(source, known, write, () => bar.advance())
      const how = { keeping: options, still: options.still, workers, forgotten, known }
      await writeClipFaces(steps, how, { checkpoint }, write)
      bar.done()
    })
  },
})

async function* stepsOf(
  source: Artifact,
  known: KnownFaces | undefined,
  write: ArtifactWriter,
  advance: () => void,
): AsyncGenerator<ClipStep> {
  const groups = groupsOf(source, frames, row => row.clipId)
  if (!source.manifest.tables.clips) return
  for await (const clip of source.rows(clips)) {
    if (write.isDone(itemOf(clip))) continue
    const earlier = clip.frames > 0 ? known?.clips.get(clip.clipId) : undefined
    if (earlier?.frames === clip.frames && earlier.code === clip.code) yield { clip, known: true }
    else {
      if (clip.frames > 0)
        for await (const { frameId, image } of groups.take(clip.clipId)) {
          yield { clip, frameId, image }
          advance()
        }
      yield { clip, end: clip }
    }
  }
}
