/**
 * The student with the first teacher only: 40 numbers a face to learn from.
 *
 *   npx deepfever train student-one-teacher --overlay=smoke --fec=DIR --affectnet=DIR --powder=DIR --targets=DIR --out=DIR
 *   expected: not in the paper; not run here
 */
import { variantOf } from '../src/experiment.ts'
import student from './student.ts'

export default variantOf(student, { teachers: [0], network: { heads: { distill: 40 } } })
