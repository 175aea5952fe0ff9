// The door of the package as it is published; the workspace has its own, src/index.ts.
export * from '../src/extractor.ts'
export * from '../src/nearest.ts'
export { DeepFeverError, FormatError, StageError } from '@deepfever/core'
export { ClipError, PictureError } from '@deepfever/media'
