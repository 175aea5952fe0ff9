import { join } from 'node:path'
import { StageError, openRandom } from '@deepfever/core'
import type { Artifact } from '@deepfever/formats'
import { isDistilled, type Experiment } from './experiment.ts'
import { openFaceTable, type FaceTable } from './face-table.ts'
import { writeTargetFile, type TargetFile } from './target-file.ts'
import { readTriplets, type TripletTable } from './triplet-table.ts'

/** The artifacts a run learns from. */
export interface Sources {
  readonly fec: Artifact
  readonly affectnet: Artifact
  readonly powder?: Artifact
  readonly targets?: Artifact
}

/** What the streams of a run draw from: rows of one table of faces. */
export interface TrainingData {
  readonly faces: FaceTable
  readonly triplets: TripletTable
  /** never trained on; the run's best step is found on them */
  readonly heldOut: TripletTable
  readonly labelled: Int32Array
  readonly unlabelled: Int32Array
  readonly targets: TargetFile | undefined
}

/**
 * Reads what the streams will take; nothing is missing after this.
 *
 * @param folder where the targets are laid down for the run
 * @throws StageError naming a stream without faces, FormatError a face without picture or target
 */
export async function readTrainingData(
  { fec, affectnet, powder, targets }: Sources,
  experiment: Experiment,
  folder: string,
): Promise<TrainingData> {
  const { batch, unlabelledFraction } = experiment
  const faces = openFaceTable([fec, affectnet, ...(powder ? [powder] : [])])
  const tripletFaces = await faces.add(fec)
  requireFaces('fec', tripletFaces)
  const { training, heldOut } = await readTriplets(fec, faces, experiment)
  if (training.length === 0)
    throw new StageError(
      `${fec.path}: no training triplets, wanted at least one; rebuild with: npx deepfever detect fec`,
      { path: fec.path },
    )
  const labelled = (await faces.add(affectnet)).filter(row => faces.labelOf(row) >= 0)
  requireFaces('labelled', labelled)
  const isUsed = powder !== undefined && batch.unlabelled > 0
  const unlabelled = isUsed
    ? fractionOf(await faces.add(powder), unlabelledFraction)
    : new Int32Array()
  if (batch.unlabelled > 0) requireFaces('unlabelled', unlabelled)
  const needed = [tripletFaces, labelled, unlabelled]
  const isNeeded = targets !== undefined && isDistilled(experiment)
  return {
    faces,
    triplets: training,
    heldOut,
    labelled,
    unlabelled,
    targets: isNeeded
      ? await writeTargetFile(
          join(folder, 'targets.f32'),
          targets,
          faces,
          needed,
          experiment.teachers,
        )
      : undefined,
  }
}

function requireFaces(stream: string, rows: Int32Array): void {
  if (rows.length === 0)
    throw new StageError(`the stream ${stream} has no training faces`, { stream })
}

/** A part of the faces, at least one; a smaller part is contained in every larger one. */
function fractionOf(rows: Int32Array, fraction: number): Int32Array {
  if (fraction >= 1) return rows
  const drawn = openRandom('unlabelled-fraction').shuffle(rows.slice())
  return drawn.slice(0, Math.max(1, Math.round(rows.length * fraction))).sort()
}
