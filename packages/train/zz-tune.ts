import { openArtifact } from '@deepfever/formats'
import { toNetwork } from '@deepfever/models'
import { openBackend } from '@deepfever/runtime'
import { initialise } from '@deepfever/models'
import { openBatches } from './src/batches.ts'
import { readCrops, readTriplets } from './src/crops.ts'
import { withOverlay } from './src/experiment.ts'
import { lossesOf } from './src/loss-sum.ts'
import { openTrainer } from './src/trainer.ts'
import student from './configs/student.ts'
import teacher from './configs/teacher256.ts'
const D = '../../.artifacts/try'
const fec = await openArtifact(`${D}/fec`, 'faces'), aff = await openArtifact(`${D}/affectnet`, 'faces'), pow = await openArtifact(`${D}/faces`, 'faces')
const crops = await readCrops(fec), labelled = await readCrops(aff), unlabelled = await readCrops(pow)
const triplets = await readTriplets(fec, crops)
const [kind, json, steps] = [process.argv[2], process.argv[3] ?? '{}', Number(process.argv[4] ?? 60)]
const file = kind === 'student' ? student : teacher
const e = withOverlay(withOverlay(file.experiment, file.overlays.smoke!), { ...JSON.parse(json) }, ); (e.losses as any).rkdDistance = 0; (e.losses as any).rkdAngle = 0
const backend = await openBackend()
const network = toNetwork(e.network)
const trainer = openTrainer({ network, weights: initialise(network, 1), losses: lossesOf(e), momentum: e.momentum })
const batchOf = openBatches({ triplets, labelled, unlabelled, targetOf: undefined }, e)
let t0 = performance.now(), ce = 0, tr = 0, n = 0
for (let s = 0; s < steps; s++) {
  const b = await batchOf(s)
  const r = await trainer.step(b, e.learningRate)
  ce += r.losses['cross-entropy']!; tr += r.losses.triplet!; n++
  if ((s + 1) % 20 === 0) { console.log(s + 1, 'ce', (ce / n).toFixed(3), 'tr', (tr / n).toFixed(3), ((performance.now() - t0) / n).toFixed(0), 'ms/step', process.cpuUsage().user / 1e6); ce = tr = n = 0; t0 = performance.now() }
}
