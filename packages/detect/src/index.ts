import { facesStage } from './faces-stage.ts'
import { gallery } from './gallery.ts'
import { merge } from './merge.ts'
import { affectnetStage, fecStage, folderStage, rafStage } from './labelled-stages.ts'

export { keepingOptions } from './clip-faces.ts'
export { tryClips, type Trial, type TrialRun } from './trial.ts'
export { detectOptions } from './faces-stage.ts'
export {
  itemOf,
  openKnownFaces,
  writeClipFaces,
  type ClipStep,
  type KnownFaces,
} from './faces-writer.ts'

/** The stages of this room, for the command line. */
export const stages = [facesStage, merge, affectnetStage, fecStage, rafStage, folderStage, gallery]
