import type { Network } from './network.ts'
import { studentNetwork, type Student } from './student.ts'
import { teacherNetwork, type Teacher } from './teacher.ts'

/** A network as plain data: what a checkpoint's network.json holds. */
export type NetworkSpecification =
  ({ readonly kind: 'teacher' } & Teacher) | ({ readonly kind: 'student' } & Student)

/** The network that a specification describes. */
export const toNetwork = (specification: NetworkSpecification): Network =>
  specification.kind === 'teacher' ? teacherNetwork(specification) : studentNetwork(specification)
