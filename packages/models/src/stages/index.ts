import { exportStage } from './export.ts'
import { importStage } from './import.ts'

/** The stages of this room, for the command line. */
export const stages = [importStage, exportStage]
