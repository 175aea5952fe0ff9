// What runs wherever JavaScript does: no Node, no sessions of its own.
export { detectorOf } from './detector.ts'
export type { Detection } from './detector.ts'
export { CROP_SIZE, extractFace, resizeTriangle } from './crop.ts'
