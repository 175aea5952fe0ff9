/**
 * The student that learns the teachers' vectors themselves, not how they lie to each other.
 *
 *   npx deepfever train student-regression --overlay=smoke --fec=DIR --affectnet=DIR --powder=DIR --targets=DIR --out=DIR
 *   expected: not in the paper; not run here
 */
import { variantOf } from '../src/experiment.ts'
import student from './student.ts'

export default variantOf(student, { distillation: 'smooth-l1', losses: { direct: 25 } })
