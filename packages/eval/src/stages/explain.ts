import { StageError, defineStage, optionalPath, path, text } from '@deepfever/core'
import {
  embeddings,
  faces,
  openArtifact,
  targets,
  triplets,
  uses,
  type Artifact,
  type Columns,
  type Face,
  type RowOf,
  type Table,
} from '@deepfever/formats'
import { writeFile } from 'node:fs/promises'
import { nearestRows } from '../neighbours.ts'
import { readJudgements, readReport } from './stored-report.ts'

/** Nearest faces that are named. */
const NEAREST = 5

/** Where a face comes from and what was made of it. */
export const explain = defineStage({
  name: 'eval explain',
  summary: 'one face: origin, box, target, triplets, training batches, prediction, neighbours',
  behaviour: 1,
  words: ['id'],
  options: {
    id: text({ help: 'faceId; or the first word', role: 'execution' }),
    faces: path('faces artifact that holds it'),
    report: optionalPath('report artifact: what was predicted'),
    checkpoint: optionalPath('checkpoint artifact: which of its training batches used the face'),
    student: optionalPath('the same as --checkpoint'),
    targets: optionalPath('targets artifact: what the teachers say'),
    features: optionalPath(
      'kept vectors (a folder of .artifacts/features): which faces are nearest',
    ),
    crop: optionalPath('where to write its crop (JPEG)'),
  },
  async run({ id, faces: place, crop, ...given }) {
    const artifact = await openArtifact(place, 'faces')
    const face = await findRow(artifact, faces, row => row.faceId === id)
    if (face === undefined)
      throw new StageError(`${place}: no face ${id}; its ids are in the column faceId`, {
        ...{ path: place, wanted: id },
      })
    const checkpoint = given.checkpoint || given.student
    if (crop) await writeFile(crop, face.crop)
    const lines = [
      ...originOf(face, artifact.manifest.metadata['classes'] as string[] | undefined),
      ...(crop ? [`crop       written to ${crop}`] : []),
      ...(await tripletLines(artifact, id)),
      ...(given.targets ? await targetLines(given.targets, id) : []),
      ...(checkpoint ? await useLines(checkpoint, id) : []),
      ...(given.report ? await predictionLines(given.report, id) : []),
      ...(given.features ? await neighbourLines(given.features, id) : []),
    ]
    process.stdout.write(`${lines.map(printable).join('\n')}\n`)
    return lines
  },
})

/** Names come from files of others and must not steer a terminal. */
const printable = (line: string): string => line.replace(/\p{C}/gu, '?')

async function findRow<C extends Columns>(
  artifact: Artifact,
  table: Table<C>,
  is: (row: RowOf<Table<C>>) => boolean,
): Promise<RowOf<Table<C>> | undefined> {
  if (artifact.manifest.tables[table.name] === undefined) return undefined
  for await (const row of artifact.rows(table)) if (is(row)) return row
  return undefined
}

function originOf(face: Face, classes: readonly string[] | undefined): string[] {
  const time = /@(\d+)$/.exec(face.frameId)?.[1]
  const [x1, y1, x2, y2] = Array.from(face.box, side => side.toFixed(1))
  const label = face.label < 0 ? 'none' : `${face.label} ${classes?.[face.label] ?? ''}`.trim()
  return [
    `face       ${face.faceId}`,
    `source     ${face.source}${time === undefined ? '' : ` at ${(Number(time) / 1e6).toFixed(3)} s`}`,
    `entry      ${face.frameId}`,
    `box        ${x1}, ${y1} to ${x2}, ${y2} (${face.cropKind}, probability ${face.probability.toFixed(3)})`,
    `label      ${label}${face.split ? `, ${face.split}` : ''}`,
  ]
}

async function tripletLines(artifact: Artifact, id: string): Promise<string[]> {
  if (artifact.manifest.tables[triplets.name] === undefined) return []
  const lines: string[] = []
  for await (const row of artifact.rows(triplets)) {
    const three = [row.first, row.second, row.third]
    if (!three.includes(id)) continue
    const role = three[row.odd] === id ? 'odd' : 'of the pair'
    lines.push(`triplet    ${row.tripletId}: ${role}, ${row.votesFor} of ${row.votesTotal} votes`)
  }
  return lines
}

async function targetLines(place: string, id: string): Promise<string[]> {
  const artifact = await openArtifact(place, 'targets')
  const row = await findRow(artifact, targets, each => each.faceId === id && each.view === 'plain')
  if (row === undefined) return [`target     none in ${place}`]
  const shown = Array.from(row.target.slice(0, 6), value => value.toFixed(3)).join(', ')
  return [`target     ${row.target.length} numbers: ${shown}, …`]
}

/** Batches that trained on the face; a teacher's and a student's are told by the same table. */
async function useLines(place: string, id: string): Promise<string[]> {
  const artifact = await openArtifact(place, 'checkpoint')
  const { steps } = artifact.manifest.metadata
  if (artifact.manifest.tables[uses.name] === undefined)
    return [`batches    unknown: ${place} does not say which faces it used; train it again`]
  const lines: string[] = []
  for await (const row of artifact.rows(uses))
    if (row.faceId === id)
      lines.push(
        `batches    ${row.stream}: ${row.batches} of ${String(steps)} steps, ` +
          `the first ${row.firstStep}, the last ${row.lastStep}`,
      )
  return lines.length > 0 ? lines : [`batches    none: ${place} was not trained on it`]
}

async function predictionLines(place: string, id: string): Promise<string[]> {
  const { report, artifact } = await readReport(place)
  const row = (await readJudgements(artifact)).find(each => each.id === id)
  if (row === undefined) return [`prediction none in ${place} (not of the test part, or no vector)`]
  const nameOf = (label: number) => report.probe?.stopped.classes[label]?.name ?? String(label)
  return [
    `prediction ${nameOf(row.predicted)} at ${(100 * row.confidence).toFixed(1)} %, ` +
      `${row.right ? 'right' : `wrong: it is ${nameOf(row.label)}`}` +
      `${row.leaked ? '; its picture is in training too' : ''}`,
  ]
}

async function neighbourLines(place: string, id: string): Promise<string[]> {
  const artifact = await openArtifact(place, 'features')
  const ids: string[] = []
  const own: { readonly split: string; readonly label: number }[] = []
  const vectors: Float32Array[] = []
  for await (const { faceId, vector, split, label } of artifact.rows(embeddings)) {
    ids.push(faceId)
    own.push({ split, label })
    vectors.push(vector)
  }
  const at = ids.indexOf(id)
  if (at < 0) return [`neighbours none: ${place} has no vector of it`]
  const width = vectors[at]!.length
  const keys = new Float32Array(ids.length * width)
  vectors.forEach((vector, row) => keys.set(vector, row * width))
  const { rows, cosines } = await nearestRows(keys, vectors[at]!, width, NEAREST + 1)
  return Array.from(rows.keys())
    .filter(i => rows[i] !== at)
    .slice(0, NEAREST)
    .map(i => {
      const { split, label } = own[rows[i]!]!
      return `neighbour  ${cosines[i]!.toFixed(4)} ${ids[rows[i]!]}, label ${label}, ${split}`
    })
}
