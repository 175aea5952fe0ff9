import { extname } from 'node:path'
import { UsageError } from '@deepfever/core'
import {
  defineTable,
  encodeRows,
  features,
  type FeatureRow,
  type Storage,
} from '@deepfever/formats'
import type { ExtractedFace, Extracted } from './extractor.ts'

const FORMS = ['.parquet', '.arrow', '.csv', '.jsonl']

/** The extension of a features file. @throws UsageError for any but the four */
export function formOf(path: string): string {
  const form = extname(path).toLowerCase()
  if (FORMS.includes(form)) return form
  throw new UsageError(`--out=${path}: ends in ${form || 'nothing'}, wanted ${FORMS.join(', ')}`, {
    found: form,
    wanted: FORMS,
  })
}

/** The rows of one picture or frame. */
export const rowsOf = ({ source, ptsUs, faces }: Extracted): FeatureRow[] =>
  faces.map((face, rank) => ({
    faceId: `${source}${ptsUs === undefined ? '' : `@${ptsUs}`}#${rank}`,
    ...{ source, ptsUs: ptsUs ?? -1 },
    ...measuresOf(face),
    embedding: face.embedding,
    ...(face.expression && { expression: face.expression }),
    ...(face.fec && { fec: face.fec }),
  }))

function measuresOf({ box, landmarks, probability, quality }: ExtractedFace) {
  const { side, sharpness, brightness, yaw, pitch, roll } = quality
  const measures = { probability, side, sharpness, brightness, yaw, pitch, roll }
  // As every form of the file stores them, so that all have the same numbers.
  for (const name of Object.keys(measures) as (keyof typeof measures)[])
    measures[name] = Math.fround(measures[name])
  return { box, landmarks, ...measures }
}

/** The table of a model's rows, whose vectors are in them only where the model gives them. */
export function tableOf(has: Pick<FeatureRow, 'expression' | 'fec'>, storage: Storage) {
  const { expression, fec, ...columns } = features.columns
  const given = { ...columns, ...(has.expression && { expression }), ...(has.fec && { fec }) }
  return defineTable(features.name, features.version, given as typeof columns, storage)
}

/** Rows as a file, piece by piece. CSV has a column a number, expressions named by their labels. */
export async function* encodeFeatures(
  form: string,
  rows: AsyncIterator<FeatureRow>,
  labels: readonly string[],
): AsyncGenerator<Uint8Array | string> {
  const first = await rows.next()
  const all = (async function* () {
    for (let next = first; !next.done; next = await rows.next()) yield next.value
  })()
  const sample: Partial<FeatureRow> = first.done ? {} : first.value
  if (form === '.csv') {
    if (!first.done) yield toHeader(first.value, labels)
    for await (const row of all) yield toCells(row)
  } else if (form === '.jsonl') for await (const row of all) yield toLine(row, labels)
  else yield* encodeRows(tableOf(sample, form === '.arrow' ? 'arrow' : 'parquet'), all)
}

function toLine({ expression, ...row }: FeatureRow, labels: readonly string[]): string {
  const plain = Object.entries(row).map(([name, value]) => [
    name,
    value instanceof Float32Array ? Array.from(value) : value,
  ])
  const named = expression && Object.fromEntries(labels.map((label, i) => [label, expression[i]]))
  const entries = { ...Object.fromEntries(plain), ...(named && { expression: named }) } as object
  return `${JSON.stringify(entries)}\n`
}

const POINTS = ['leftEye', 'rightEye', 'nose', 'leftMouth', 'rightMouth']

function toHeader(sample: FeatureRow, labels: readonly string[]): string {
  const names: Readonly<Record<string, readonly string[]>> = {
    box: ['x1', 'y1', 'x2', 'y2'],
    landmarks: POINTS.flatMap(point => [`${point}X`, `${point}Y`]),
    expression: labels.map(label => `expression_${label}`),
  }
  const header = Object.entries(sample).flatMap(([name, value]) =>
    value instanceof Float32Array
      ? (names[name] ?? Array.from(value, (_, i) => `${name}_${i}`))
      : [name],
  )
  return `${header.map(toCell).join(',')}\n`
}

const toCells = (row: FeatureRow): string =>
  `${Object.values(row)
    .flatMap(value => (value instanceof Float32Array ? [...value] : [value]))
    .map(toCell)
    .join(',')}\n`

const toCell = (value: string | number): string =>
  typeof value === 'string' && /[",\r\n]/.test(value)
    ? `"${value.replaceAll('"', '""')}"`
    : String(value)
