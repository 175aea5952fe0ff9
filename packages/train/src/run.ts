import {
  choice,
  commonOptions,
  defineStage,
  flag,
  integer,
  number,
  optionalPath,
  path,
  text,
  UsageError,
  type Context,
  type Values,
} from '@deepfever/core'
import { inputOf, openArtifact, writeArtifact } from '@deepfever/formats'
import { BACKENDS } from '@deepfever/runtime/choice'
import { readTrainingData, type Sources } from './training-data.ts'
import {
  isDistilled,
  parseOverlay,
  withOverlay,
  type Experiment,
  type ExperimentFile,
} from './experiment.ts'
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
  set: text({
    help: 'settings of the experiment, key=value, separated by commas: epochs=2,losses.rkdAngle=0',
    standard: '',
  }),
  run: text({
    help: 'a name for a run of its own beside others: it is written to OUT-NAME',
    role: 'execution',
    standard: '',
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
  workers: integer({
    help: 'threads that decode pictures',
    role: 'execution',
    standard: 2,
    min: 1,
    max: 64,
  }),
  plan: flag({
    help: 'say what it would cost by 20 real steps, with counts beside the published ones',
    role: 'execution',
  }),
  anyCounts: flag({
    help: 'plan although the counts are not the published ones',
    role: 'execution',
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
  powder: optionalPath('faces artifact without labels (made by: npx deepfever detect faces)'),
  targets: optionalPath('targets artifact of all three (made by: npx deepfever targets predict)'),
  unlabelledFraction: number({
    help: 'part of the unlabelled faces that is used; 0: what the configuration says',
    standard: 0,
    min: 0,
    max: 1,
  }),
} as const

type CommonValues = Values<typeof commonTrainOptions>
type Places = CommonValues & {
  readonly powder?: string
  readonly targets?: string
  readonly unlabelledFraction?: number
}

/** The experiment that the command line asks for. */
function experimentOf({ experiment, overlays }: ExperimentFile, options: Places): Experiment {
  const { overlay, init, seed, set, unlabelledFraction = 0 } = options
  const base = overlay === 'none' ? experiment : withOverlay(experiment, overlays[overlay]!)
  return withOverlay(withOverlay(base, parseOverlay(set)), {
    ...(init !== 'default' && { init }),
    ...(seed >= 0 && { seed }),
    ...(unlabelledFraction > 0 && { unlabelledFraction }),
  })
}

/** Opens what the experiment learns from, and nothing else. */
async function openSources(places: Places, experiment: Experiment): Promise<Sources> {
  const optional = async (name: 'powder' | 'targets', isNeeded: boolean, kind: string) => {
    if (!isNeeded) return {}
    const place = places[name]
    if (!place)
      throw new UsageError(`--${name} is missing: the experiment learns from a ${kind} artifact`, {
        option: name,
      })
    return { [name]: await openArtifact(place, kind) }
  }
  return {
    fec: await openArtifact(places.fec, 'faces'),
    affectnet: await openArtifact(places.affectnet, 'faces'),
    ...(await optional('powder', experiment.batch.unlabelled > 0, 'faces')),
    ...(await optional('targets', isDistilled(experiment), 'targets')),
  }
}

/** Where a run is written: beside the others of its name, if it has one of its own. */
function outOf({ out, run }: Pick<Places, 'out' | 'run'>): string {
  if (run === '') return out
  if (/^[\w.-]+$/.test(run)) return `${out.replace(/\/+$/, '')}-${run}`
  throw new UsageError(`--run: found ${run}, wanted letters, digits, points and dashes`, {
    found: run,
  })
}

const runTraining = async (file: ExperimentFile, options: Places, context: Context) => {
  const { log, work } = context
  const experiment = experimentOf(file, options)
  const sources = await openSources(options, experiment)
  const start = await readStartWeights(experiment)
  const artifacts = Object.entries(sources).map(([role, source]) => inputOf(role, source))
  const inputs = [...artifacts, ...start.inputs]
  const identity = { experiment: JSON.stringify(experiment) }
  const out = outOf(options)
  if (options.plan) {
    const { inPassingFolder, planRun } = await import('./plan.ts')
    return inPassingFolder(out, async folder => {
      const data = await readTrainingData(sources, experiment, folder)
      await planRun({ experiment, data, start: start.state }, options, out, log)
    })
  }
  const spec = { ...work, identity, inputs, kind: 'checkpoint', out }
  return writeArtifact({ ...spec, force: options.force }, log, async write => {
    const data = await readTrainingData(sources, experiment, write.work)
    // TensorFlow.js is loaded only when there is something to train.
    const { train } = await import('./training-loop.ts')
    await train({ experiment, data, start: start.state, inputs }, options, write, context)
  })
}

const BEHAVIOUR = 6

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
export const studentStage = (name: string, file: ExperimentFile, summary: string) =>
  defineStage({
    name: `train ${name}`,
    summary,
    behaviour: BEHAVIOUR,
    options: distilledOptions,
    run: (options, context) => runTraining(file, options, context),
  })
