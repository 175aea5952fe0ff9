import { commonOptions, defineStage, optionalPath, path } from '@deepfever/core'
import { sha256, writeArtifact, type InputEntry } from '@deepfever/formats'
import { readFile } from 'node:fs/promises'
import { readFec } from '../fec.ts'
import { openSource } from '../source.ts'
import { commonTriplets, encodeTripletList } from '../triplet-list.ts'

/** The triplets whose pictures are here, as a list to exchange: which of them do both sides have? */
export const fecTripletsStage = defineStage({
  name: 'datasets fec-triplets',
  summary: 'ids of the FEC triplets that are present here, or here and in the list of others',
  behaviour: 1,
  options: {
    ...commonOptions,
    source: optionalPath('folder of FEC'),
    index: optionalPath('index of raw data instead (made by: npx deepfever datasets index)'),
    common: optionalPath('triplets.csv of others: keep what both have'),
    out: path('where triplets.csv goes'),
  },
  async run({ source: folder, index, common, out, force }, { log, work }) {
    const source = await openSource({ source: folder, index, corpus: 'fec' }, log)
    const inputs: InputEntry[] = [{ role: 'fec', digest: source.digest }]
    if (common) inputs.push({ role: 'common', digest: sha256(await readFile(common)) })
    return writeArtifact(
      { ...work, kind: 'triplet-list', inputs, out, force },
      log,
      async write => {
        const { triplets, rejects } = await readFec(source)
        const kept = common ? await commonTriplets(triplets, common) : triplets
        await write.file('triplets.csv', encodeTripletList(kept))
        write.accept(kept.length)
        const both = new Set(kept)
        for (const triplet of triplets)
          if (!both.has(triplet)) write.reject('not_in_both', triplet.id)
        for (const { id, code } of rejects) write.reject(code, id)
        await write.done('triplets', triplets.length + rejects.length)
      },
    )
  },
})
