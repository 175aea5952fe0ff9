import type { Crop, CropTriplet, TargetOf } from './crops.ts'

/** The training data of a run. */
export interface TrainingData {
  readonly triplets: readonly CropTriplet[]
  readonly labelled: readonly Crop[]
  readonly unlabelled: readonly Crop[]
  readonly targetOf: TargetOf | undefined
}
