/**
 * The student with the distances between faces only.
 *
 *   npx deepfever train student-rkd-distance --overlay=smoke --fec=DIR --affectnet=DIR --powder=DIR --targets=DIR --out=DIR
 *   expected: not in the paper; not run here
 */
import { variantOf } from '../src/experiment.ts'
import student from './student.ts'

export default variantOf(student, { losses: { rkdAngle: 0 } })
