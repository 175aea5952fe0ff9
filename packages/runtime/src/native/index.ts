// Apart from the room's index.ts, so that the command line does not load TensorFlow.js.
import { nativeStage } from './stage.ts'

export { buildNative } from './build.ts'
/** The room's commands. */
export const stages = [nativeStage]
