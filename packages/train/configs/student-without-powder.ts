/**
 * The student without unlabelled faces (paper, Table I: KD without PowderFaces).
 *
 *   npx deepfever train student-without-powder --overlay=smoke --fec=DIR --affectnet=DIR --targets=DIR --out=DIR
 *   expected: AffectNet probe 61.1 / 65.2, FEC 86.4 (paper); not run here
 */
import { variantOf } from '../src/experiment.ts'
import student from './student.ts'

export default variantOf(student, { batch: { unlabelled: 0 } })
