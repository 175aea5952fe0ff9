import { UsageError, commonOptions, defineStage, path, text } from '@deepfever/core'
import { openArtifact, writeArtifact, type Artifact } from '@deepfever/formats'

/** The part of report.json that a table shows. */
interface Headline {
  readonly value: number | null
  readonly n: number | null
  readonly interval: { readonly low: number; readonly high: number } | null
}

const headlineOf = async (report: Artifact): Promise<Headline> => {
  const json = Buffer.from(await report.file('report.json')).toString()
  return (JSON.parse(json) as { readonly headline: Headline }).headline
}

const percent = (value: number | null): string => (value === null ? '' : (100 * value).toFixed(1))

const show = ({ value, interval }: Headline): string =>
  interval
    ? `${percent(value)} (${percent(interval.low)} to ${percent(interval.high)})`
    : percent(value)

/** Reports of several runs as one table, a row a run. */
export const table = defineStage({
  name: 'train table',
  summary: 'reports of several runs side by side: table.md, table.json',
  behaviour: 1,
  options: {
    ...commonOptions,
    rows: text({ help: 'names of the runs, separated by commas' }),
    affectnet: path("reports of 'eval affectnet', in the order of the rows, separated by commas"),
    fec: path("reports of 'eval fec', in the order of the rows, separated by commas"),
    out: path('where the table goes'),
  },
  async run({ rows, affectnet, fec, out, force }, { log, work }) {
    const names = rows.split(',')
    const open = (option: string, places: string) => {
      const list = places.split(',')
      if (list.length !== names.length)
        throw new UsageError(
          `--${option}: found ${list.length} reports, wanted ${names.length}, one a row`,
          { option, found: list.length, wanted: names.length },
        )
      return Promise.all(list.map(place => openArtifact(place, 'report')))
    }
    const columns = {
      'AffectNet, probe': await open('affectnet', affectnet),
      'FEC, triplets': await open('fec', fec),
    }
    const inputs = Object.values(columns).flatMap(reports =>
      reports.map(({ digest }, i) => ({ role: names[i]!, digest })),
    )
    return writeArtifact({ ...work, kind: 'table', inputs, out, force }, log, async write => {
      const lines = [`| run | ${Object.keys(columns).join(' | ')} |`, '|---|---|---|']
      const json: Record<string, Record<string, Headline>> = {}
      for (const [i, name] of names.entries()) {
        const own: Record<string, Headline> = {}
        for (const [column, reports] of Object.entries(columns))
          own[column] = await headlineOf(reports[i]!)
        json[name] = own
        lines.push(`| ${name} | ${Object.values(own).map(show).join(' | ')} |`)
        log.event('row', {
          run: name,
          ...Object.fromEntries(Object.entries(own).map(([c, h]) => [c, show(h)])),
        })
      }
      await write.file('table.md', `${lines.join('\n')}\n`)
      await write.file('table.json', `${JSON.stringify(json, null, 1)}\n`)
      write.accept(names.length)
      await write.done('table', names.length)
    })
  },
})
