import { choice, commonOptions, defineStage, flag, optionalPath } from '@deepfever/core'
import { inspectable, inspectCorpus, inspectionTable } from '../inspection.ts'
import { openSource } from '../source.ts'

/** Prints what the readers make of a raw folder; writes nothing. */
export const inspectStage = defineStage({
  name: 'datasets inspect',
  summary: 'counts by split and class beside the published ones, and what was turned away',
  behaviour: 1,
  options: {
    ...commonOptions,
    corpus: choice({
      help: 'what the folder holds',
      choices: inspectable,
      standard: 'folder',
      role: 'execution',
    }),
    source: optionalPath('folder of the corpus, as downloaded'),
    index: optionalPath('index of raw data instead (made by: npx deepfever datasets index)'),
    pictures: flag({ help: 'decode every picture too', role: 'execution' }),
  },
  async run({ corpus, source: folder, index, pictures }, { log }) {
    const name = corpus === 'rafdb-original' ? 'rafdb' : corpus
    const source = await openSource({ source: folder, index, corpus: name }, log)
    const inspection = await inspectCorpus(corpus, source, pictures)
    process.stdout.write(inspectionTable(inspection))
    return inspection
  },
})
