import { commonOptions, defineStage, integer, number, path } from '@deepfever/core'
import { faces, frames, openArtifact, writeArtifact } from '@deepfever/formats'
import { codeOf } from '@deepfever/media'
import { cutCrop, findFaces, passes, rejectionOf } from './face-finder.ts'

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

/** Every face of every frame. */
export const facesStage = defineStage({
  name: 'detect faces',
  summary: 'faces of the frames of clips, as 140-pixel crops in Arrow shards',
  behaviour: 1,
  options: {
    ...detectOptions,
    frames: path('frames artifact'),
    out: path('where the faces artifact goes'),
    probability: number({ help: "least of MTCNN's probability", standard: 0.95, min: 0, max: 1 }),
    minFace: number({ help: 'least side of a box, pixels', standard: 40, min: 20, max: 4096 }),
  },
  async run({ out, force, workers, ...options }, { log, work, checkpoint }) {
    const source = await openArtifact(options.frames, 'frames')
    const inputs = [{ role: 'frames', digest: source.digest }]
    const total = source.manifest.tables.frames?.rows ?? 0
    return writeArtifact({ ...work, kind: 'faces', inputs, out, force }, log, async write => {
      const bar = log.progress('frames', total)
      async function* waiting() {
        for await (const frame of source.rows(frames)) if (!write.isDone(frame.frameId)) yield frame
      }
      for await (const { item: frame, result } of findFaces(waiting(), f => f.image, {
        workers,
        detect: true,
      })) {
        checkpoint()
        if ('error' in result) write.reject(codeOf(result.error), frame.frameId)
        else {
          const kept = result.detections.filter(found => passes(found, options))
          for (const [rank, { box, landmarks, probability }] of kept.entries())
            await write.append(faces, {
              faceId: `${frame.frameId}#${rank}`,
              frameId: frame.frameId,
              source: frame.clipName,
              box,
              landmarks,
              probability,
              cropKind: 'detected',
              label: -1,
              split: '',
              crop: await cutCrop(result.picture, box),
            })
          if (kept.length > 0) write.accept()
          else write.reject(rejectionOf(result.detections, options), frame.frameId)
        }
        await write.done(frame.frameId)
        bar.advance()
      }
      bar.done()
    })
  },
})
