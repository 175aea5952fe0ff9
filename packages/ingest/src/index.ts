import { merge } from './merge.ts'
import { videos } from './videos.ts'

export { decodeFrames, type DecodedFrame, type Decoder, type Sampling } from './decoding.ts'
export { readPpm } from './ppm.ts'

/** The stages of this room, for the command line. */
export const stages = [videos, merge]
