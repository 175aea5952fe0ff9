import { commonOptions, defineStage, path } from '@deepfever/core'
import { clips, frames, openGroups, openParts, writeArtifact } from '@deepfever/formats'

/** Lays the parts of a divided run behind each other; any division gives the same bytes. */
export const merge = defineStage({
  name: 'ingest merge',
  summary: 'the parts of a divided ingest, joined into one frames artifact',
  behaviour: 1,
  options: {
    ...commonOptions,
    parts: path('folder with the parts (<out>.parts of ingest videos --shard)'),
    out: path('where the frames artifact goes'),
  },
  async run({ parts: folder, out, force }, { log, work, checkpoint }) {
    const parts = await openParts(folder, 'frames')
    const { inputs, terms, artifacts } = parts
    const identity = { ...parts.identity, made: `${parts.stage} ${parts.behaviour}` }
    const spec = { ...work, identity, kind: 'frames', inputs, terms, out, force }
    return writeArtifact(spec, log, async write => {
      write.describe(artifacts[0]!.manifest.metadata)
      if (!write.isDone('ledger')) {
        write.accept(parts.outputCount)
        for (const [code, { count, example }] of Object.entries(parts.rejects))
          write.reject(code, example, count)
        await write.done('ledger', parts.inputCount)
      }
      const bar = log.progress('clips', parts.clips.length)
      for (const artifact of artifacts) {
        if (!artifact.manifest.tables.clips) continue
        const rows = artifact.manifest.tables.frames && artifact.rows(frames)
        const groups = rows && openGroups(rows, row => row.clipId)
        for await (const clip of artifact.rows(clips)) {
          checkpoint()
          const id = `${clip.clipId} ${clip.clipName}`
          if (!write.isDone(id)) {
            await write.append(clips, clip)
            if (groups && clip.frames > 0)
              for await (const frame of groups.take(clip.clipId)) await write.append(frames, frame)
            await write.done(id, 0)
          }
          bar.advance()
        }
      }
      bar.done()
    })
  },
})
