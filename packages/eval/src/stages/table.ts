import { readdir } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { StageError, defineStage, flag, path } from '@deepfever/core'
import { readManifest } from '@deepfever/formats'
import { tablesText, type NamedReport } from '../paper-tables.ts'
import { readReport } from './stored-report.ts'

/** The paper's tables, with what was run here beside what was published. */
export const table = defineStage({
  name: 'eval table',
  summary: "the paper's tables I to III beside the reports of a folder",
  behaviour: 1,
  words: ['reports'],
  options: {
    reports: path('folder with reports in it, or reports separated by commas; or the first word'),
    drawn: flag({ help: 'those with a banner too, which says that the data is not the corpus' }),
  },
  async run({ reports, drawn }, { log }) {
    const found: NamedReport[] = []
    for (const place of await placesOf(reports)) {
      const { report } = await readReport(place)
      if (drawn || report.banner === null) found.push({ name: rowOf(report.extractor), report })
      else log.event('left out', { report: place, banner: report.banner })
    }
    const text = tablesText(found)
    process.stdout.write(text)
    return text
  },
})

/** The reports that are named, or those of the one folder that is. */
async function placesOf(reports: string): Promise<string[]> {
  if (reports.includes(',')) return reports.split(',')
  const names = await readdir(reports).catch((thrown: unknown) => {
    const message = `${reports}: no such folder; wanted one with reports`
    throw new StageError(message, { folder: reports }, thrown)
  })
  const places: string[] = []
  for (const name of names.sort()) {
    const place = join(reports, name)
    const read = await readManifest(place).catch(() => undefined)
    if (read?.manifest.kind === 'report') places.push(place)
  }
  return places
}

/** `.artifacts/a/student-seed2` → `student`. */
const rowOf = (extractor: string): string => basename(extractor).replace(/-seed-?\d+$/, '')
