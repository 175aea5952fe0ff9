import { merge } from './merge.ts'
import { videos } from './videos.ts'

export { decodeFrames, type DecodedFrame, type Decoder, type Sampling } from './decoding.ts'
export { readPpm } from './ppm.ts'
export { clipIdOf, faultOf, listClips, sourceOptions, type Clip } from './clip-list.ts'
export {
  decoderOptions,
  divisionOptions,
  samplingOf,
  samplingOptions,
  takeFrames,
} from './videos.ts'

/** The stages of this room, for the command line. */
export const stages = [videos, merge]
