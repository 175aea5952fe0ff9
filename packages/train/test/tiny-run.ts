import { runStage, silentLog, toFlag, type Log, type Stage } from '@deepfever/core'
import { STUDENT } from '@deepfever/models'
import type { ExperimentFile } from '../src/experiment.ts'
import { SIZE, TARGET_WIDTH } from './drawn-inputs.ts'

/** The smallest student that has every head. */
export const tinyStudent: ExperimentFile = {
  experiment: {
    network: {
      ...{ kind: 'student', ...STUDENT },
      backbone: { kind: 'densenet', growth: 4, blocks: [1], stem: 4, bottleneck: 1 },
      embedding: 8,
      heads: { fec: 4, affectnet: 8, distill: TARGET_WIDTH },
      size: SIZE,
    },
    init: 'random',
    epochs: 2,
    batch: { triplets: 2, labelled: 3, unlabelled: 1 },
    heldOut: 0,
    unlabelledFraction: 1,
    learningRate: 0.05,
    momentum: 0.9,
    distillation: 'relational',
    teachers: [0, 1],
    temperature: 1,
    losses: { triplet: 1, crossEntropy: 0.1, rkdDistance: 25, rkdAngle: 50, direct: 1 },
    margins: { ONE_CLASS_TRIPLET: 0.1, TWO_CLASS_TRIPLET: 0.2, THREE_CLASS_TRIPLET: 0.2 },
    flip: true,
    batchNormBatches: 'joint',
    recompute: false,
    seed: 7,
  },
  overlays: { smoke: { epochs: 1, batchNormBatches: 'per-dataset' } },
}

/** Runs a stage as the command line does; gives its exit code and the events it logged. */
export async function run(
  stage: Stage,
  options: Readonly<Record<string, string | number | boolean>>,
) {
  const said: Record<string, unknown>[] = []
  const event: Log['event'] = (event, fields) => void said.push({ event, ...fields })
  const log: Log = { ...silentLog, event, warn: message => event('warning', { message }) }
  // The same backend on every machine that runs the tests.
  const all = 'backend' in stage.options ? { backend: 'portable', ...options } : options
  const flags = Object.entries(all).map(([key, value]) => `${toFlag(key)}=${value}`)
  const terminal = { log, signal: new AbortController().signal }
  const code = await runStage(stage, flags, terminal, () => {})
  return { code, said, events: said.map(({ event }) => event), failure: said.at(-1)! }
}
