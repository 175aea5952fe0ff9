/**
 * Teacher of embedding 128: as teacher256 but for width and seed.
 *
 *   npx nx run train:teacher128
 */
import type { ExperimentFile } from '../src/experiment.ts'
import { withOverlay } from '../src/experiment.ts'
import teacher256 from './teacher256.ts'

const file: ExperimentFile = {
  experiment: withOverlay(teacher256.experiment, { network: { embedding: 128 }, seed: 128 }),
  overlays: {
    smoke: withOverlay(withOverlay(teacher256.experiment, teacher256.overlays.smoke ?? {}), {
      network: { embedding: 16 },
      seed: 128,
    }),
  },
}
export default file
