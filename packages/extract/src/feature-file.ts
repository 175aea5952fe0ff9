import { extname } from 'node:path'
import { UsageError } from '@deepfever/core'
import { defineTable, encodeShard, features, type FeatureRow, type Table } from '@deepfever/formats'
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
  return { box, landmarks, probability, side, sharpness, brightness, yaw, pitch, roll }
}

/** Rows as a file. CSV has a column a number, with the labels in the names of the expressions. */
export async function encodeFeatures(
  form: string,
  rows: readonly FeatureRow[],
  labels: readonly string[],
): Promise<Uint8Array> {
  if (form === '.csv') return Buffer.from(toCsv(rows, labels))
  if (form === '.jsonl') return Buffer.from(rows.map(row => toLine(row, labels)).join(''))
  const storage = form === '.arrow' ? 'arrow' : 'parquet'
  const { expression, fec, ...columns } = features.columns
  const [first] = rows
  const table = defineTable(
    features.name,
    features.version,
    {
      ...columns,
      ...(first?.expression && { expression }),
      ...(first?.fec && { fec }),
    },
    storage,
  )
  return encodeShard(table as Table<typeof columns>, rows)
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

function toCsv(rows: readonly FeatureRow[], labels: readonly string[]): string {
  const names: Readonly<Record<string, readonly string[]>> = {
    box: ['x1', 'y1', 'x2', 'y2'],
    landmarks: POINTS.flatMap(point => [`${point}X`, `${point}Y`]),
    expression: labels.map(label => `expression_${label}`),
  }
  const header = Object.entries(rows[0] ?? {}).flatMap(([name, value]) =>
    value instanceof Float32Array
      ? (names[name] ?? Array.from(value, (_, i) => `${name}_${i}`))
      : [name],
  )
  const lines = rows.map(row =>
    Object.values(row).flatMap(value => (value instanceof Float32Array ? [...value] : [value])),
  )
  return [header, ...lines].map(cells => `${cells.map(toCell).join(',')}\n`).join('')
}

const toCell = (value: string | number): string =>
  typeof value === 'string' && /[",\r\n]/.test(value)
    ? `"${value.replaceAll('"', '""')}"`
    : String(value)
