import type { Manifest } from '@deepfever/formats'
import type { ModelContract } from './export.ts'
import type { WeightDifference } from './weight-difference.ts'

/** What a card takes from a report: the fields of report.json that it prints. */
export interface CardScore {
  readonly title: string
  readonly banner: string | null
  /** which form was judged: `checkpoint`, or the name of an exported file */
  readonly form: string
  readonly headline: CardMeasure
  readonly beside: readonly CardMeasure[]
}

interface CardMeasure {
  readonly label: string
  readonly value: number | null
  readonly n: number | null
  readonly interval: { readonly low: number; readonly high: number; readonly level: number } | null
  readonly note: string
}

/** Everything a card is made from. */
export interface CardFacts {
  readonly file: string
  readonly smallFile: string
  readonly contract: ModelContract
  /** of the checkpoint artifact */
  readonly manifest: Manifest
  readonly digest: string
  readonly scores: readonly CardScore[]
  readonly difference: WeightDifference
}

/** MODEL_CARD.md: what the artifacts say of a model, and "not measured" where they say nothing. */
export const renderModelCard = (facts: CardFacts): string => `# Model card: ${facts.contract.model}

Written by \`npx deepfever models export\` from artifacts; what no artifact says stands as "not stated" or "not measured".

## What it is

A network from a crop of one face to ${Object.entries(facts.contract.outputs)
  .map(([name, { width, meaning }]) => `\`${name}\` (${width} numbers: ${meaning})`)
  .join(
    '; ',
  )}. Input: ${facts.contract.input.size.join(' x ')} pixels, RGB, ${facts.contract.input.type}, ${facts.contract.input.layout}; crop: ${facts.contract.input.crop}. Classes: ${facts.contract.labels.map(plain).join(', ')}.

- files: \`${plain(facts.file)}\`, \`${plain(facts.smallFile)}\` (uint8 weights), \`contract.json\`
- checkpoint: sha256 ${facts.digest}
- architecture: ${facts.contract.architecture}
${facts.contract.licence.map(line => `- ${plain(line)}`).join('\n')}

## Data

${dataSection(facts.manifest)}

## Protocol

Made by \`${plain(facts.manifest.stage)}\`, behaviour ${facts.manifest.behaviour}.

${table(['setting', 'value'], settingsOf(facts.manifest))}

## Scores

${scoreSection(facts.scores)}

## The form with uint8 weights

Weights of convolutions and dense layers as uint8 with a scale and a zero point an output channel; arithmetic in float32. Measured on ${facts.difference.crops} crops (${plain(facts.difference.of)}):

${table(
  ['quantity', 'value'],
  [
    ['size', sizeText(facts.difference)],
    ['cosine of the embeddings, mean', facts.difference.cosine.mean.toFixed(6)],
    ['cosine of the embeddings, least', facts.difference.cosine.least.toFixed(6)],
    ['same most probable class', percent(facts.difference.sameClass)],
    ['time of a run, against float32', `${facts.difference.timeRatio.toFixed(2)} (one thread)`],
    ['probe accuracy', probeText(facts)],
  ],
)}

## Limits

- It describes how a face looks in a picture. What the person feels, thinks or intends is not in the picture, and the classes are the words of annotators, who disagree with each other.
- Probabilities follow the class frequencies and the annotators of the training data. They are not calibrated elsewhere.
- Accuracy by age, sex, skin colour, culture, disability, lighting, pose or covered faces: not measured unless a score above says so.
- Everything depends on the face detector's box. Another crop gives other numbers.

## Intended use

Research on facial expression; sorting and searching pictures by expression with the consent of the people in them; a start for networks that are then judged on data of their own.

## Misuse

- In the European Union it is prohibited to place on the market, put into service for this purpose or use a system that infers emotions of people at work or in education, but for medical or safety reasons (AI Act, Regulation (EU) 2024/1689, article 5(1)(f)). Emotion recognition elsewhere is listed as high-risk (annex III, 1(c)), and whoever uses it must inform those exposed to it (article 50(3), which excepts what the law permits for the detection and investigation of crime). This is a pointer, not legal advice.
- No decision about a person: hiring, admission, insurance, credit, policing, borders, diagnosis, lie detection.
- No identification of people, and no covert recording. Embeddings of faces are personal data: keep them as carefully as the photographs.
`

/** Text from files, without what Markdown or a table would read as its own. */
const plain = (text: string): string =>
  text.replace(/[\r\n]+/g, ' ').replace(/[\\|`<>[\]*_#]/g, sign => `\\${sign}`)

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`
  return [line(head), `|${'---|'.repeat(head.length)}`, ...rows.map(line)].join('\n')
}

function dataSection({ inputs, terms, ledger }: Manifest): string {
  const said = (list: Manifest['terms'] | undefined) =>
    (list ?? [])
      .map(({ licence, consent, contact }) =>
        plain(`licence ${licence}; consent ${consent}${contact && `; contact ${contact}`}`),
      )
      .join('; or ') || 'not stated'
  const rows = inputs.map(input => [plain(input.role), input.digest])
  return `${table(['input', 'sha256 of its manifest'], rows)}

Terms over all inputs: ${said(terms)}. Items read ${ledger.inputs}, used ${ledger.outputs}.`
}

/** The settings that made the weights, objects taken apart. */
function settingsOf({ identity, metadata }: Manifest): string[][] {
  const rows: string[][] = []
  const add = (name: string, value: unknown): void => {
    if (typeof value === 'object' && value !== null && !Array.isArray(value))
      for (const [key, inner] of Object.entries(value)) add(name ? `${name}.${key}` : key, inner)
    else rows.push([plain(name), plain(typeof value === 'string' ? value : JSON.stringify(value))])
  }
  const { experiment, ...rest } = identity
  for (const [name, value] of Object.entries(rest)) add(name, value)
  if (experiment !== undefined && metadata['experiment'] === undefined)
    add('experiment', experiment)
  for (const [name, value] of Object.entries(metadata))
    add(name === 'experiment' ? '' : name, value)
  return rows
}

function scoreSection(scores: readonly CardScore[]): string {
  if (scores.length === 0) return 'Not measured: no report was given (`--reports=DIR,DIR`).'
  const rows = scores.flatMap(({ title, form, headline, beside }) =>
    [headline, ...beside].map(measure => [
      plain(title),
      plain(form),
      plain(measure.label),
      measure.value === null ? 'not measured' : percent(measure.value),
      measure.interval === null
        ? 'none'
        : `${percent(measure.interval.low)} to ${percent(measure.interval.high)} (${100 * measure.interval.level} %)`,
      measure.n === null ? '' : String(measure.n),
      plain(measure.note),
    ]),
  )
  const banners = new Set(scores.flatMap(({ banner }) => (banner === null ? [] : [banner])))
  const notes = [...banners].map(banner => `**${plain(banner)}**\n\n`).join('')
  return notes + table(['report', 'form', 'measure', 'value', 'interval', 'n', 'note'], rows)
}

const percent = (share: number): string => `${(100 * share).toFixed(1)} %`

const sizeText = ({ exactBytes, smallBytes }: WeightDifference): string =>
  `${(smallBytes / 1e6).toFixed(2)} MB instead of ${(exactBytes / 1e6).toFixed(2)} MB`

/** Headlines of reports that judged the small file, with those of the exact weights beside them. */
function probeText({ scores, smallFile }: CardFacts): string {
  const valueOf = ({ headline: { value } }: CardScore) =>
    value === null ? 'not measured' : percent(value)
  const texts = scores
    .filter(({ form }) => form === smallFile)
    .map(score => {
      const exact = scores.find(({ form, title }) => form !== smallFile && title === score.title)
      const beside = exact ? `float32: ${valueOf(exact)}` : 'float32 not measured'
      return plain(`${score.title}: ${valueOf(score)} (${beside})`)
    })
  return texts.join('; ') || 'not measured'
}
