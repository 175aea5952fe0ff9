/**
 * The student on ResNet-50.
 *
 *   npx deepfever train student-resnet50 --overlay=smoke --fec=DIR --affectnet=DIR --powder=DIR --targets=DIR --out=DIR
 *   expected: not in the paper; not run here
 */
import { RESNET50 } from '@deepfever/models'
import type { Experiment, ExperimentFile } from '../src/experiment.ts'
import { withOverlay } from '../src/experiment.ts'
import student from './student.ts'

/** Another kind of backbone has other sizes, so it replaces the old one whole. */
function onResNet({ network, ...experiment }: Experiment, stem: number): Experiment {
  if (network.kind !== 'student') return { network, ...experiment }
  return { ...experiment, network: { ...network, backbone: { kind: 'resnet', ...RESNET50, stem } } }
}

const file: ExperimentFile = {
  experiment: onResNet(student.experiment, RESNET50.stem),
  overlays: {
    smoke: onResNet(withOverlay(student.experiment, student.overlays.smoke ?? {}), 4),
  },
}
export default file
