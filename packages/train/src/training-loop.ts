import { StageError, type Context } from '@deepfever/core'
import type { ArtifactWriter, StateDict } from '@deepfever/formats'
import { toNetwork, writeCheckpoint } from '@deepfever/models'
import { openBackend } from '@deepfever/runtime'
import { openBatches, stepsPerEpoch } from './batches.ts'
import type { Experiment } from './experiment.ts'
import { lossesOf } from './loss-sum.ts'
import type { StartWeights } from './start-weights.ts'
import { openTrainer } from './trainer.ts'
import type { TrainingData } from './training-data.ts'

/** Trains to the end and writes the checkpoint. */
export async function train(
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
  let trained = weights
  try {
    let next = batchOf(0)
    for (let step = 0; step < total; step++) {
      checkpoint()
      const batch = await next
      // The next batch is decoded while this one is computed.
      next = step + 1 < total ? batchOf(step + 1) : next
      const report = await trainer.step(batch, experiment.learningRate)
      requireFinite(step, { ...report.losses, total: report.total }, batch.faceIds)
      const epoch = Math.floor(step / perEpoch)
      metrics.push(JSON.stringify({ step, epoch, total: report.total, ...report.losses }))
      if ((step + 1) % perEpoch === 0) trained = requireFiniteWeights(step, await trainer.read())
      bar.advance()
    }
    bar.done()
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

/** A kernel may turn what is no number into 0 on its way to the loss; the weights still show it. */
function requireFiniteWeights(step: number, { weights }: { weights: StateDict }): StateDict {
  for (const [part, { values }] of weights)
    if (!(values as Float32Array).every(Number.isFinite))
      throw new StageError(
        `step ${step}: ${part} holds no numbers any more; lower the learning rate`,
        {
          step,
          part,
        },
      )
  return weights
}
