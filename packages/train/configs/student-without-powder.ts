/**
 * The student without unlabelled faces (paper, Table I: KD without PowderFaces).
 *
 *   npx nx run train:student-without-powder
 *   expected: AffectNet probe 61.1 / 65.2, FEC 86.4 (paper); not run here
 */
import { variantOf } from '../src/experiment.ts'
import student from './student.ts'

export default variantOf(student, { batch: { unlabelled: 0 } })
