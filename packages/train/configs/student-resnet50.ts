/**
 * The student on ResNet-50.
 *
 *   npx nx run train:student-resnet50
 *   expected: not in the paper; not run here at full size
 *   cost: 0.42 s a step of 13 images against 0.50 s of the student (2 cores, native); 17 s with -c smoke (291 steps, 2 cores, native, 2026-11-25)
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
