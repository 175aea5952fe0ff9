import { readdir } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { StageError, defineStage, path } from '@deepfever/core'
import { readManifest } from '@deepfever/formats'
import { tablesText, type NamedReport } from '../paper-tables.ts'
import { readReport } from './stored-report.ts'

/** The paper's tables, with what was run here beside what was published. */
export const table = defineStage({
  name: 'eval table',
  summary: "the paper's tables I to III beside the reports of a folder",
  behaviour: 1,
  words: ['reports'],
  options: { reports: path('folder with report artifacts in it; or the first word') },
  async run({ reports: folder }, { log }) {
    const names = await readdir(folder).catch((thrown: unknown) => {
      throw new StageError(`${folder}: no such folder; wanted one with reports`, { folder }, thrown)
    })
    const found: NamedReport[] = []
    for (const name of names.sort()) {
      const place = join(folder, name)
      const read = await readManifest(place).catch(() => undefined)
      if (read?.manifest.kind !== 'report') continue
      const { report } = await readReport(place)
      // A banner says that the data is not the corpus.
      if (report.banner === null) found.push({ name: rowOf(report.extractor), report })
      else log.event('left out', { report: place, banner: report.banner })
    }
    const text = tablesText(found)
    process.stdout.write(text)
    return text
  },
})

/** `.artifacts/a/student-seed2` → `student`. */
const rowOf = (extractor: string): string => basename(extractor).replace(/-seed-?\d+$/, '')
