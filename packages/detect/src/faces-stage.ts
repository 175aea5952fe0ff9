import { commonOptions, defineStage, integer, number, path } from '@deepfever/core'
import { faces, frames, openArtifact, writeArtifact, type Frame } from '@deepfever/formats'
import { findFaces } from './face-finder.ts'

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
      const { probability, minFace } = options
      const jobOf = ({ image }: Frame) => ({ file: image, gate: { probability, minFace } })
      const found = findFaces(waiting(), jobOf, { workers, detect: true })
      for await (const { item: frame, answer } of found) {
        checkpoint()
        if ('rejected' in answer) write.reject(answer.rejected, frame.frameId)
        else {
          for (const [rank, face] of answer.faces.entries())
            await write.append(faces, {
              faceId: `${frame.frameId}#${rank}`,
              frameId: frame.frameId,
              source: frame.clipName,
              label: -1,
              split: '',
              ...face,
            })
          write.accept()
        }
        await write.done(frame.frameId)
        bar.advance()
      }
      bar.done()
    })
  },
})
