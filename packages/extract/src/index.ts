import { extract } from './stages/extract.ts'
import { info } from './stages/info.ts'
import { similar } from './stages/similar.ts'

export * from './extractor.ts'
export * from './nearest.ts'
export { toVectorSet, type VectorSet } from './vector-set.ts'

/** The stages of this room, for the command line. */
export const stages = [extract, similar, info]
