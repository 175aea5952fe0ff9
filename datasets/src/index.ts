import { demoStage } from './stages/demo-stage.ts'
import { indexStage } from './stages/index-stage.ts'

export * from './labelled.ts'
export * from './affectnet.ts'
export * from './fec.ts'
export * from './rafdb.ts'
export * from './raw-index.ts'
export * from './source.ts'

/** The stages of this room, for the command line. */
export const stages = [demoStage, indexStage]
