import { merge } from './merge.ts'
import { videos } from './videos.ts'

export { clipIdOf, faultOf, listClips, sourceOptions, type Clip } from './clip-list.ts'
export { decoderOptions, divisionOptions, samplingOf, samplingOptions } from './videos.ts'
export { openTakings, type Takings } from './takings.ts'

/** The stages of this room, for the command line. */
export const stages = [videos, merge]
