import { commonOptions, defineStage, flag, integer, path } from '@deepfever/core'
import { writeArtifact } from '@deepfever/formats'
import { demoFiles } from '../demo/index.ts'

/** Small raw inputs, drawn: what `npm start` runs on. */
export const demoStage = defineStage({
  name: 'datasets demo',
  summary: 'draws small raw data in the layouts of the corpora, and clips from photographs',
  behaviour: 1,
  options: {
    ...commonOptions,
    out: path('where the raw data go'),
    seed: integer({ help: 'of the drawings', standard: 1, min: 0, max: 2 ** 31 }),
    skip: flag({
      help: 'draw nothing: the configuration works on data of your own',
      role: 'execution',
    }),
  },
  async run({ out, seed, skip, force }, { log, work, checkpoint }) {
    if (skip) {
      log.event('skipped', { reason: 'this configuration works on data of your own' })
      return
    }
    const spec = { ...work, kind: 'raw', inputs: [], out, force }
    await writeArtifact(spec, log, async write => {
      const bar = log.progress('files')
      for await (const file of demoFiles({ seed })) {
        checkpoint()
        await write.file(file.path, file.bytes, { durable: false })
        write.accept()
        await write.done(file.path)
        bar.advance()
      }
      bar.done()
    })
  },
})
