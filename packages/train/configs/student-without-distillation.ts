/**
 * The student from labels and triplets alone (paper, Table I: without KD).
 *
 *   npx nx run train:student-without-distillation
 *   expected: AffectNet probe 58.8 / 62.6, FEC 85.0 (paper); not run here
 */
import { variantOf } from '../src/experiment.ts'
import student from './student.ts'

export default variantOf(student, { batch: { unlabelled: 0 }, distillation: 'none' })
