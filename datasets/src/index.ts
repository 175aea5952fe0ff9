import { indexStage } from './stages/index-stage.ts'

export * from './raw-index.ts'
export * from './source.ts'

/** The stages of this room, for the command line. */
export const stages = [indexStage]
