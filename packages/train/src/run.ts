import {
  StageError,
  choice,
  commonOptions,
  defineStage,
  integer,
  number,
  path,
  type Context,
  type Values,
} from '@deepfever/core'
import { openArtifact, writeArtifact } from '@deepfever/formats'
import { BACKENDS } from '@deepfever/runtime/choice'
import type { TrainingData } from './training-data.ts'
import { readCrops, readTargets, readTriplets, type Crop } from './crops.ts'
import { isDistilled, withOverlay, type Experiment, type ExperimentFile } from './experiment.ts'

import { readStartWeights } from './start-weights.ts'

const commonTrainOptions = {
  ...commonOptions,
  fec: path('faces artifact with triplets (made by: npx deepfever detect fec)'),
  affectnet: path('labelled faces artifact (made by: npx deepfever detect affectnet)'),
  out: path('where the checkpoint artifact goes'),
  overlay: choice({
    help: "changes to the paper's values: none, or the smallest run that goes through everything",
    choices: ['none', 'smoke'],
    standard: 'none',
  }),
  init: choice({
    help: 'weights before the first step; default: what the configuration says',
    choices: ['default', 'pretrained', 'random'],
    standard: 'default',
  }),
  seed: integer({
    help: 'of weights, order, flips and dropout; -1: what the configuration says',
    standard: -1,
    min: -1,
    max: 2 ** 31,
  }),
  backend: choice({
    help: 'what computes; auto: native where it is built, else portable; cuda: a GPU or not at all',
    role: 'execution',
    choices: BACKENDS,
    standard: 'auto',
  }),
  checkpointMinutes: number({
    help: 'time between checkpoints; 0: one after every step',
    role: 'execution',
    standard: 10,
    min: 0,
    max: 1440,
  }),
  stopAfter: integer({
    help: 'stop with a checkpoint after this step; 0: at the end',
    role: 'execution',
    standard: 0,
    min: 0,
    max: 2 ** 31,
  }),
} as const

const distilledOptions = {
  ...commonTrainOptions,
  powder: path('faces artifact without labels (made by: npx deepfever detect faces)'),
  targets: path('targets artifact of all three (made by: npx deepfever targets predict)'),
} as const

type CommonValues = Values<typeof commonTrainOptions>
type Places = CommonValues & { readonly powder?: string; readonly targets?: string }

/** The experiment that the command line asks for. */
function experimentOf({ experiment, overlays }: ExperimentFile, options: CommonValues): Experiment {
  const { overlay, init, seed } = options
  return withOverlay(
    overlay === 'none' ? experiment : withOverlay(experiment, overlays[overlay]!),
    {
      ...(init !== 'default' && { init }),
      ...(seed >= 0 && { seed }),
    },
  )
}

/** Opens all inputs and reads what the streams will take; nothing is missing after this. */
async function readInputs(experiment: Experiment, places: Places) {
  const fec = await openArtifact(places.fec, 'faces')
  const affectnet = await openArtifact(places.affectnet, 'faces')
  const powder = places.powder && (await openArtifact(places.powder, 'faces'))
  const targets = places.targets && (await openArtifact(places.targets, 'targets'))
  const roles = { fec, affectnet, ...(powder && { powder }), ...(targets && { targets }) }
  const inputs = Object.entries(roles).map(([role, { digest }]) => ({ role, digest }))
  const read = async (): Promise<TrainingData> => {
    const fecCrops = await readCrops(fec)
    const labelled = (await readCrops(affectnet)).filter(crop => crop.label >= 0)
    const unlabelled = powder ? await readCrops(powder) : []
    const streams: Record<string, readonly Crop[]> = { fec: fecCrops, labelled, unlabelled }
    for (const [name, crops] of Object.entries(streams))
      if (crops.length === 0 && (name !== 'unlabelled' || experiment.batch.unlabelled > 0))
        throw new StageError(`the stream ${name} has no training faces`, { stream: name })
    const ids = Object.values(streams).flatMap(crops => crops.map(crop => crop.faceId))
    const triplets = await readTriplets(fec, fecCrops)
    if (triplets.length === 0)
      throw new StageError(
        `${fec.path}: no training triplets, wanted at least one; rebuild with: npx deepfever detect fec`,
        { path: fec.path },
      )
    return {
      triplets,
      labelled,
      unlabelled,
      targetOf: targets && isDistilled(experiment) ? await readTargets(targets, ids) : undefined,
    }
  }
  return { inputs, read }
}

const runTraining = async (file: ExperimentFile, options: Places, context: Context) => {
  const { log, work } = context
  const experiment = experimentOf(file, options)
  const { inputs, read } = await readInputs(experiment, options)
  const start = await readStartWeights(experiment)
  const identity = { experiment: JSON.stringify(experiment) }
  const inputsAll = [...inputs, ...start.inputs]
  const { out, force } = options
  const spec = { ...work, identity, inputs: inputsAll, kind: 'checkpoint', out, force }
  return writeArtifact(spec, log, async write =>
    // TensorFlow.js is loaded only when there is something to train.
    (await import('./training-loop.ts')).train(
      { experiment, data: await read(), start: start.state, inputs: inputsAll },
      options,
      write,
      context,
    ),
  )
}

const BEHAVIOUR = 2

/** A stage that trains a teacher by the experiment `file`. */
export const teacherStage = (name: string, file: ExperimentFile) =>
  defineStage({
    name: `train ${name}`,
    summary: 'a teacher: FEC triplets and AffectNet classes together',
    behaviour: BEHAVIOUR,
    options: commonTrainOptions,
    run: (options, context) => runTraining(file, options, context),
  })

/** A stage that trains a student by the experiment `file`. */
export const studentStage = (name: string, file: ExperimentFile) =>
  defineStage({
    name: `train ${name}`,
    summary: "the student: both data sets, unlabelled faces, and the teachers' targets",
    behaviour: BEHAVIOUR,
    options: distilledOptions,
    run: (options, context) => runTraining(file, options, context),
  })
