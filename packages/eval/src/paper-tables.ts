import type { Report } from './report.ts'

/** A published row: DeepFEVER's tables with the systems it compares with. */
interface PublishedRow {
  readonly name: string
  readonly values: readonly (number | null)[]
}

/** One table of the paper, and which reports fill its columns. */
interface PaperTable {
  readonly title: string
  readonly columns: readonly string[]
  readonly rows: readonly PublishedRow[]
  /** column of a report; undefined for none of this table */
  column(report: Report): number | undefined
}

const row = (name: string, ...values: (number | null)[]): PublishedRow => ({ name, values })
const stageOf = ({ configuration }: Report) => configuration['stage']

/** Tables I to III of the paper (accuracy, %). */
const paperTables: readonly PaperTable[] = [
  {
    title: 'Table I: AffectNet, accuracy on the validation set',
    columns: ['8 classes', '7 classes'],
    rows: [
      row('CNNs and BOVW + local SVM', 59.6, null),
      row('Pyramid with Super Resolution', 60.7, 63.8),
      row('PAENet', null, 65.3),
      row('DeepFEVER teacher', 61.3, 65.4),
      row('DeepFEVER student, no distillation', 58.8, 62.6),
      row('DeepFEVER student, no PowderFaces', 61.1, 65.2),
      row('DeepFEVER student', 61.6, 65.4),
    ],
    column: report =>
      stageOf(report) === 'eval affectnet' ? { '8': 0, '7': 1 }[classesOf(report)] : undefined,
  },
  {
    title: 'Table II: FEC, triplet accuracy on the test set',
    columns: ['triplets'],
    rows: [
      row('FECNet: fine-tuned FaceNet', 81.8),
      row('DeepFEVER teacher', 84.5),
      row('DeepFEVER student, no distillation', 85.0),
      row('DeepFEVER student, no PowderFaces', 86.4),
      row('DeepFEVER student', 86.5),
    ],
    column: report => (stageOf(report) === 'eval fec' ? 0 : undefined),
  },
  {
    title: 'Table III: RAF-DB, accuracy on the test set',
    columns: ['7 classes'],
    rows: [
      row('IPA2LT', 86.8),
      row('RAN-ResNet18', 86.9),
      row('PSN', 89.0),
      row('DeepFEVER student, probe without fine-tuning', 87.4),
    ],
    column: report => (stageOf(report) === 'eval raf' ? 0 : undefined),
  },
]

const classesOf = ({ configuration }: Report) => String(configuration['classes']) as '8' | '7'

/** A report and the name of its row: runs that differ in the seed alone share one. */
export interface NamedReport {
  readonly name: string
  readonly report: Report
}

/** The tables as Markdown, published rows first, then what was run here; empty where nothing was. */
export const tablesText = (reports: readonly NamedReport[]): string =>
  paperTables.map(table => tableText(table, reports)).join('\n')

function tableText(
  { title, columns, rows, column }: PaperTable,
  reports: readonly NamedReport[],
): string {
  const here = new Map<string, Report[][]>()
  for (const { name, report } of reports) {
    const at = column(report)
    if (at === undefined) continue
    const cells = here.get(name) ?? columns.map(() => [])
    cells[at]!.push(report)
    here.set(name, cells)
  }
  const published = rows.map(({ name, values }) => [
    name,
    ...values.map(value => (value === null ? '' : value.toFixed(1))),
  ])
  const own = here.size === 0 ? [['here', ...columns.map(() => '')]] : []
  for (const [name, cells] of here) own.push([`here: ${name}`, ...cells.map(cellText)])
  const line = (cells: readonly string[]) => `| ${cells.map(escapeCell).join(' | ')} |`
  return [
    `### ${title}`,
    '',
    ...[line(['', ...columns]), line(['---', ...columns.map(() => '---')])],
    ...[...published, ...own].map(line),
    '',
  ].join('\n')
}

const escapeCell = (text: string): string => text.replace(/[|\n\r]/g, ' ')

/** One run: value with its sampling interval. Several: mean and deviation over runs, then both. */
function cellText(runs: readonly Report[]): string {
  const shown = (value: number) => (100 * value).toFixed(1)
  const values = runs.flatMap(({ headline: { value } }) => (value === null ? [] : [value]))
  const [first] = runs
  if (first === undefined || values.length === 0) return ''
  const { interval, n } = first.headline
  const range = interval ? ` (${shown(interval.low)} to ${shown(interval.high)}, n = ${n})` : ''
  if (values.length === 1) return `${shown(values[0]!)}${range}`
  const mean = values.reduce((a, b) => a + b) / values.length
  const deviation = Math.sqrt(
    values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (values.length - 1),
  )
  return `${shown(mean)} ± ${shown(deviation)} over ${values.length} runs; sampling of one:${range}`
}
