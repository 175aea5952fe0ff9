import student from '../configs/student.ts'
import oneTeacher from '../configs/student-one-teacher.ts'
import regression from '../configs/student-regression.ts'
import resnet50 from '../configs/student-resnet50.ts'
import rkdAngle from '../configs/student-rkd-angle.ts'
import rkdDistance from '../configs/student-rkd-distance.ts'
import withoutDistillation from '../configs/student-without-distillation.ts'
import withoutPowder from '../configs/student-without-powder.ts'
import teacher128 from '../configs/teacher128.ts'
import teacher256 from '../configs/teacher256.ts'
import { list } from './list.ts'
import { studentStage, teacherStage } from './run.ts'
import { verifyResume } from './verify-resume.ts'

export * from './experiment.ts'

/** The stages of this room, for the command line. */
export const stages = [
  teacherStage('teacher256', teacher256),
  teacherStage('teacher128', teacher128),
  studentStage('student', student, "both data sets, unlabelled faces, and the teachers' targets"),
  studentStage('student-without-powder', withoutPowder, 'the student without unlabelled faces'),
  studentStage('student-without-distillation', withoutDistillation, 'the student without targets'),
  studentStage('student-one-teacher', oneTeacher, 'the student with the first teacher only'),
  studentStage('student-rkd-distance', rkdDistance, 'the student with distances only'),
  studentStage('student-rkd-angle', rkdAngle, 'the student with angles only'),
  studentStage(
    'student-regression',
    regression,
    "the student with the teachers' vectors themselves",
  ),
  studentStage('student-resnet50', resnet50, 'the student on ResNet-50'),
  list,
  verifyResume,
]
