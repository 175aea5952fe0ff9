import { FormatError, UsageError, openRandom } from '@deepfever/core'
import { triplets, type Artifact } from '@deepfever/formats'
import type { Experiment } from './experiment.ts'
import { openFaceIndex } from './face-ids.ts'
import type { FaceTable } from './face-table.ts'

/** Triplets as rows of a face table. */
export interface TripletTable {
  readonly length: number
  rowsOf(index: number): readonly [number, number, number]
  /** 0, 1 or 2: the face that differs */
  oddOf(index: number): number
  marginOf(index: number): number
}

/** The training triplets of a FEC artifact, and those kept back to judge the run by. */
export interface TripletSplit {
  readonly training: TripletTable
  readonly heldOut: TripletTable
}

/**
 * Reads the triplets of split `train`; `faces` are those of the artifact. The held-out ones are drawn by their number alone, so all
 * runs on one artifact are judged by the same.
 *
 * @throws FormatError naming a triplet whose face is not in the table
 * @throws UsageError naming a kind without a margin
 */
export async function readTriplets(
  artifact: Artifact,
  faces: FaceTable,
  { margins, heldOut }: Pick<Experiment, 'margins' | 'heldOut'>,
): Promise<TripletSplit> {
  const room = artifact.manifest.tables.triplets?.rows ?? 0
  const rows = new Int32Array(3 * room)
  const odd = new Uint8Array(room)
  const margin = new Float64Array(room)
  const rowOf = openFaceIndex(faces)
  let count = 0
  for await (const triplet of artifact.rows(triplets)) {
    if (triplet.split !== 'train') continue
    for (const [i, faceId] of [triplet.first, triplet.second, triplet.third].entries()) {
      const row = rowOf(faceId)
      if (row === undefined)
        throw new FormatError(
          `${artifact.path}: triplet ${triplet.tripletId} names face ${faceId}, which is not among ` +
            `its ${faces.length} training faces; rebuild with: npx deepfever detect fec`,
          { path: artifact.path, tripletId: triplet.tripletId, faceId },
        )
      rows[3 * count + i] = row
    }
    odd[count] = triplet.odd
    margin[count++] = marginFor(margins, triplet.kind)
  }
  const drawn = openRandom('held-out').shuffle(Uint32Array.from({ length: count }, (_, i) => i))
  const kept = Math.floor(count * heldOut)
  const tableOf = (part: Uint32Array): TripletTable => ({
    length: part.length,
    rowsOf: i => [rows[3 * part[i]!]!, rows[3 * part[i]! + 1]!, rows[3 * part[i]! + 2]!],
    oddOf: i => odd[part[i]!]!,
    marginOf: i => margin[part[i]!]!,
  })
  return {
    training: tableOf(drawn.slice(kept).sort()),
    heldOut: tableOf(drawn.slice(0, kept).sort()),
  }
}

function marginFor(margins: Experiment['margins'], kind: string): number {
  const margin = margins[kind]
  if (margin !== undefined) return margin
  throw new UsageError(
    `triplets of kind ${kind} have no margin; the experiment has ${Object.keys(margins).join(', ')}`,
    { found: kind, wanted: Object.keys(margins) },
  )
}
