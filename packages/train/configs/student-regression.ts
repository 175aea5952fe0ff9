/**
 * The student that learns the teachers' vectors themselves, not how they lie to each other.
 *
 *   npx nx run train:student-regression
 *   expected: not in the paper; not run here at full size
 *   cost: as the student; 14 s with -c smoke (291 steps, 2 cores, native, 2026-11-25)
 */
import { variantOf } from '../src/experiment.ts'
import student from './student.ts'

export default variantOf(student, { distillation: 'smooth-l1', losses: { direct: 25 } })
