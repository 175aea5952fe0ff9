import { number } from '@deepfever/core'
import type { CutFace } from '@deepfever/faces'

/** Thresholds of a face that is kept. */
export interface FaceGate {
  readonly probability: number
  readonly minFace: number
  readonly sharpness: number
  readonly darkest: number
  readonly brightest: number
  readonly pose: number
}

/** The thresholds as options; each can be set so that it turns nothing away. */
export const gateOptions = {
  probability: number({ help: "least of MTCNN's probability", standard: 0.95, min: 0, max: 1 }),
  minFace: number({ help: 'least side of a box, pixels', standard: 40, min: 20, max: 4096 }),
  sharpness: number({
    help: "least variance of the Laplacian of the crop's luma",
    ...{ standard: 2, min: 0, max: 1e6 },
  }),
  darkest: number({ help: 'least mean luma of the crop', standard: 0.08, min: 0, max: 1 }),
  brightest: number({ help: 'largest mean luma of the crop', standard: 0.95, min: 0, max: 1 }),
  pose: number({ help: 'largest yaw, pitch or roll, degrees', standard: 60, min: 0, max: 180 }),
}

/** Why a face is turned away, the first reason that holds; undefined when it is kept. */
export function gateCodeOf(face: CutFace, gate: FaceGate): string | undefined {
  const { side, sharpness, brightness, yaw, pitch, roll } = face.quality
  if (face.probability < gate.probability) return 'low_probability'
  if (side < gate.minFace) return 'face_too_small'
  if (brightness < gate.darkest) return 'too_dark'
  if (brightness > gate.brightest) return 'too_bright'
  if (sharpness < gate.sharpness) return 'blurred'
  if (Math.max(Math.abs(yaw), Math.abs(pitch), Math.abs(roll)) > gate.pose) return 'extreme_pose'
  return undefined
}
