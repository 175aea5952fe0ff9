import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { StageError, defineStage, flag, path } from '@deepfever/core'
import { readManifest } from '@deepfever/formats'
import { tablesText } from '../paper-tables.ts'
import type { Report } from '../report.ts'
import { groupRuns } from '../run-groups.ts'
import { readReport } from './stored-report.ts'

/** The paper's tables, with what was run here beside what was published. */
export const table = defineStage({
  name: 'eval table',
  summary: "the paper's tables I to III beside the reports of a folder",
  behaviour: 2,
  words: ['reports'],
  options: {
    reports: path('folder with reports in it, or reports separated by commas; or the first word'),
    drawn: flag({ help: 'those with a banner too, which says that the data is not the corpus' }),
  },
  async run({ reports, drawn }, { log }) {
    const found: Report[] = []
    for (const place of await placesOf(reports)) {
      const { report } = await readReport(place)
      if (drawn || report.banner === null) found.push(report)
      else log.event('left out', { report: place, banner: report.banner })
    }
    const { groups, repeated } = groupRuns(found)
    for (const { extractor, title } of repeated)
      log.event('left out', { report: title, extractor, reason: 'the same run again' })
    const text = tablesText(groups)
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
