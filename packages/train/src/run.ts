import {
  StageError,
  choice,
  commonOptions,
  defineStage,
  integer,
  optionalPath,
  path,
  type Context,
  type Values,
} from '@deepfever/core'
import { openArtifact, writeArtifact, type ArtifactWriter } from '@deepfever/formats'
import { toNetwork, writeCheckpoint } from '@deepfever/models'
import { openBackend } from '@deepfever/runtime'
import { openBatches, stepsPerEpoch, type TrainingData } from './batches.ts'
import { readCrops, readTargets, readTriplets, type Crop } from './crops.ts'
import { withOverlay, type Experiment, type ExperimentFile } from './experiment.ts'
import { isDistilled, lossesOf } from './loss-sum.ts'
import { readStartWeights, type StartWeights } from './start-weights.ts'
import { openTrainer } from './trainer.ts'

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
  return withOverlay(overlay === 'none' ? experiment : withOverlay(experiment, overlays[overlay]!), {
    ...(init !== 'default' && { init }),
    ...(seed >= 0 && { seed }),
  })
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
    return {
      triplets: await readTriplets(fec, fecCrops),
      labelled,
      unlabelled,
      targetOf: targets && isDistilled(experiment) ? await readTargets(targets, ids) : undefined,
    }
  }
  return { inputs, read }
}

/** Trains to the end and writes the checkpoint. */
async function train(
  experiment: Experiment,
  data: TrainingData,
  weights: StartWeights['state'],
  write: ArtifactWriter,
  { log, checkpoint }: Context,
): Promise<void> {
  const backend = await openBackend()
  const network = toNetwork(experiment.network)
  const batchOf = openBatches(data, experiment)
  const perEpoch = stepsPerEpoch(data, experiment)
  const total = perEpoch * experiment.epochs
  log.event('training', {
    backend: backend.describe(),
    triplets: data.triplets.length,
    labelled: data.labelled.length,
    unlabelled: data.unlabelled.length,
    steps: total,
  })
  const { triplets, labelled, unlabelled } = experiment.batch
  const parts = [3 * triplets, labelled, unlabelled].filter(rows => rows > 0)
  const trainer = openTrainer({
    network,
    weights,
    losses: lossesOf(experiment),
    momentum: experiment.momentum,
    ...(experiment.batchNormBatches === 'per-dataset' && { parts }),
  })
  const bar = log.progress('steps', total)
  const metrics: string[] = []
  try {
    let next = batchOf(0)
    for (let step = 0; step < total; step++) {
      checkpoint()
      const batch = await next
      // The next batch is decoded while this one is computed.
      next = step + 1 < total ? batchOf(step + 1) : next
      const report = await trainer.step(batch, experiment.learningRate)
      requireFinite(step, report.losses, batch.faceIds)
      const epoch = Math.floor(step / perEpoch)
      metrics.push(JSON.stringify({ step, epoch, total: report.total, ...report.losses }))
      bar.advance()
    }
    bar.done()
    const { weights: trained } = await trainer.read()
    await writeCheckpoint(write, experiment.network, trained)
  } finally {
    trainer.close()
  }
  await write.file('metrics.jsonl', `${metrics.join('\n')}\n`)
  write.describe({ experiment, steps: total, backend: backend.name })
  write.accept(total)
  await write.done('run', total)
}

function requireFinite(
  step: number,
  losses: Readonly<Record<string, number>>,
  faceIds: readonly string[],
): void {
  const bad = Object.entries(losses).find(([, value]) => !Number.isFinite(value))
  if (!bad) return
  const [part, value] = bad
  throw new StageError(
    `step ${step}: the loss ${part} is ${value}; lower the learning rate or look at the faces named`,
    { step, part, faceIds },
  )
}

const runTraining = async (file: ExperimentFile, options: Places, context: Context) => {
  const { log, work } = context
  const experiment = experimentOf(file, options)
  const { inputs, read } = await readInputs(experiment, options)
  const start = await readStartWeights(experiment)
  const identity = { experiment: JSON.stringify(experiment) }
  const spec = { ...work, identity, inputs: [...inputs, ...start.inputs] }
  const { out, force } = options
  return writeArtifact({ ...spec, kind: 'checkpoint', out, force }, log, async write =>
    train(experiment, await read(), start.state, write, context),
  )
}

const BEHAVIOUR = 1

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
