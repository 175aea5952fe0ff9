import { uses, type ArtifactWriter, type Use } from '@deepfever/formats'
import { stepsPerEpoch } from './batches.ts'
import type { Experiment } from './experiment.ts'
import { openOrder } from './order.ts'
import type { TrainingData } from './training-data.ts'

type Stream = keyof Experiment['batch']
/** Calls `use` with every row that a step takes from a stream. */
type EachRow = (step: number, use: (row: number) => void) => void

/** The streams as `openPlan` deals them out, without what a batch needs besides. */
function openStreams(data: TrainingData, experiment: Experiment): [Stream, EachRow][] {
  const { batch, seed } = experiment
  const { length, rowsOf } = data.triplets
  const perEpoch = stepsPerEpoch(data, experiment)
  const order = openOrder(`${seed}/triplets`, length)
  const looping = (name: 'labelled' | 'unlabelled'): [Stream, EachRow] => {
    const position = openOrder(`${seed}/${name}`, data[name].length)
    return [
      name,
      (step, use) => {
        for (let i = 0; i < batch[name]; i++) use(data[name][position(step * batch[name] + i)]!)
      },
    ]
  }
  const triplets: EachRow = (step, use) => {
    const pass = length * Math.floor(step / perEpoch)
    for (let i = 0; i < batch.triplets; i++)
      rowsOf(order(pass + (((step % perEpoch) * batch.triplets + i) % length))).forEach(use)
  }
  return [['triplets', triplets], looping('labelled'), looping('unlabelled')]
}

/** Faces that streams may take: one more than the highest row. */
function roomOf({ triplets, labelled, unlabelled }: TrainingData): number {
  let highest = 0
  const see = (row: number) => {
    if (row > highest) highest = row
  }
  for (let i = 0; i < triplets.length; i++) triplets.rowsOf(i).forEach(see)
  for (const rows of [labelled, unlabelled]) rows.forEach(see)
  return highest + 1
}

/**
 * Which steps of a run of `steps` trained on which face, stream by stream. What is in a batch
 * depends on seed and step alone, so nothing has to be kept while the run goes on; it takes 12
 * bytes a face, and some seconds for the paper's student.
 */
function* usesOf(data: TrainingData, experiment: Experiment, steps: number): Generator<Use> {
  const room = roomOf(data)
  const batches = new Int32Array(room)
  const first = new Int32Array(room)
  const last = new Int32Array(room)
  for (const [stream, eachRow] of openStreams(data, experiment)) {
    batches.fill(0)
    for (let step = 0; step < steps; step++)
      eachRow(step, row => {
        if (batches[row] === 0) first[row] = step
        // A face of two triplets of one batch was in one batch.
        else if (last[row] === step) return
        batches[row]!++
        last[row] = step
      })
    for (let row = 0; row < room; row++)
      if (batches[row]! > 0)
        yield {
          ...{ faceId: data.faces.idOf(row), stream, batches: batches[row]! },
          ...{ firstStep: first[row]!, lastStep: last[row]! },
        }
  }
}

/** Writes the table of a finished run. */
export async function writeUses(
  write: Pick<ArtifactWriter, 'append'>,
  data: TrainingData,
  experiment: Experiment,
  steps: number,
): Promise<void> {
  for (const use of usesOf(data, experiment, steps)) await write.append(uses, use)
}
