import { predict } from './predict.ts'

export * from './target-layout.ts'
export { predict }

/** The stages of this room, for the command line. */
export const stages = [predict]
