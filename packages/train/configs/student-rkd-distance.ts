/**
 * The student with the distances between faces only.
 *
 *   npx nx run train:student-rkd-distance
 *   expected: not in the paper; not run here at full size
 *   cost: as the student; 20 s with -c smoke (291 steps, 2 cores, native, 2026-11-25)
 */
import { variantOf } from '../src/experiment.ts'
import student from './student.ts'

export default variantOf(student, { losses: { rkdAngle: 0 } })
