import { demoStage } from './stages/demo-stage.ts'
import { fecDownloadStage } from './stages/fec-download-stage.ts'
import { fecTripletsStage } from './stages/fec-triplets-stage.ts'
import { indexStage } from './stages/index-stage.ts'
import { inspectStage } from './stages/inspect-stage.ts'

export * from './labelled.ts'
export * from './affectnet.ts'
export * from './fec-rows.ts'
export * from './fec-pictures.ts'
export * from './fec.ts'
export * from './triplet-list.ts'
export * from './rafdb.ts'
export * from './class-folders.ts'
export * from './card.ts'
export * from './inspection.ts'
export * from './public-address.ts'
export * from './picture-fetch.ts'
export * from './fec-download.ts'
export * from './raw-index.ts'
export * from './source.ts'

/** The stages of this room, for the command line. */
export const stages = [demoStage, indexStage, inspectStage, fecDownloadStage, fecTripletsStage]
