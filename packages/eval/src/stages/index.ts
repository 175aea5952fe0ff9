import { affectnet } from './affectnet.ts'
import { fec } from './fec.ts'
import { folder } from './folder.ts'
import { raf } from './raf.ts'

/** The stages of this room, for the command line. */
export const stages = [raf, affectnet, fec, folder]
