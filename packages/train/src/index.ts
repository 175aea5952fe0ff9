import student from '../configs/student.ts'
import teacher128 from '../configs/teacher128.ts'
import teacher256 from '../configs/teacher256.ts'
import { studentStage, teacherStage } from './run.ts'

export * from './experiment.ts'

/** The stages of this room, for the command line. */
export const stages = [
  teacherStage('teacher256', teacher256),
  teacherStage('teacher128', teacher128),
  studentStage('student', student),
]
