import { WITH_LEAKED, type Report } from './report.ts'
import type { RunGroup } from './run-groups.ts'

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

/** The tables as Markdown, published rows first, then what was run here; empty where nothing was. */
export const tablesText = (groups: readonly RunGroup[]): string =>
  paperTables.map(table => tableText(table, groups)).join('\n')

function tableText(
  { title, columns, rows, column }: PaperTable,
  groups: readonly RunGroup[],
): string {
  const here = groups.flatMap(({ name, reports }) => {
    const cells = columns.map((_, at) => reports.filter(report => column(report) === at))
    return cells.some(cell => cell.length > 0) ? [[`here: ${name}`, ...cells.map(cellText)]] : []
  })
  const published = rows.map(({ name, values }) => [
    name,
    ...values.map(value => (value === null ? '' : value.toFixed(1))),
  ])
  const own = here.length === 0 ? [['here', ...columns.map(() => '')]] : here
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

/**
 * One run: value with its sampling interval. Several: mean and deviation over runs, then the
 * sampling interval of the first. With leaked rows: the same beside it.
 */
function cellText(runs: readonly Report[]): string {
  const [first] = runs
  if (first === undefined) return ''
  const text = overRuns(runs.map(({ headline }) => headline.value))
  if (text === '') return ''
  const { interval, n } = first.headline
  const range = interval ? `${shown(interval.low)} to ${shown(interval.high)}, n = ${n}` : ''
  const sampling = range && (runs.length > 1 ? `; sampling of one: ${range}` : ` (${range})`)
  const leaked = first.leakage?.triplets ?? first.leakage?.leaked ?? 0
  const all = runs.flatMap(({ headline, beside }) => {
    const found = beside.find(({ label }) => label === headline.label + WITH_LEAKED)
    return [found ? found.value : headline.value]
  })
  return `${text}${sampling}${leaked > 0 ? `; with ${leaked} leaked: ${overRuns(all)}` : ''}`
}

const shown = (value: number) => (100 * value).toFixed(1)

/** Mean, and standard deviation where there are several. */
function overRuns(found: readonly (number | null)[]): string {
  const values = found.filter(value => value !== null)
  if (values.length === 0) return ''
  const mean = values.reduce((a, b) => a + b) / values.length
  if (values.length === 1) return shown(mean)
  const squares = values.reduce((sum, value) => sum + (value - mean) ** 2, 0)
  const deviation = Math.sqrt(squares / (values.length - 1))
  return `${shown(mean)} ± ${shown(deviation)} over ${values.length} runs`
}
