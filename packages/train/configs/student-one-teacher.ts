/**
 * The student with the first teacher only: 40 numbers a face to learn from.
 *
 *   npx nx run train:student-one-teacher
 *   expected: not in the paper; not run here at full size
 *   cost: as the student; 18 s with -c smoke (291 steps, 2 cores, native, 2026-11-25)
 */
import { variantOf } from '../src/experiment.ts'
import student from './student.ts'

export default variantOf(student, { teachers: [0], network: { heads: { distill: 40 } } })
