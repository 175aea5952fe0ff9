export { openDetector } from './detector.ts'
export type { Detection, Detector, DetectorOptions } from './detector.ts'
export { CROP_SIZE, extractFace, resizeTriangle } from './crop.ts'
export type { Region } from './pyramid.ts'
