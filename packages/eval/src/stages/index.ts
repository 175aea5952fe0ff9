import { affectnet } from './affectnet.ts'
import { compare } from './compare.ts'
import { explain } from './explain.ts'
import { fec } from './fec.ts'
import { folder } from './folder.ts'
import { raf } from './raf.ts'
import { table } from './table.ts'

/** The stages of this room, for the command line. */
export const stages = [raf, affectnet, fec, folder, compare, table, explain]
