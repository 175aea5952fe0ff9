/** One file of the demonstration data, by its path below the output folder (`/` separated). */
export interface DemoFile {
  readonly path: string
  readonly bytes: Uint8Array | string
}

/** How many of each are drawn. */
export interface DemoSizes {
  readonly affectnetTrain: number
  readonly affectnetVal: number
  readonly rafdbTrain: number
  readonly rafdbTest: number
  readonly fecPhotos: number
  readonly fecTrain: number
  readonly fecTest: number
}

/** Enough for a tiny network to learn something; drawn in seconds. */
export const smokeSizes: DemoSizes = {
  affectnetTrain: 720,
  affectnetVal: 160,
  rafdbTrain: 420,
  rafdbTest: 420,
  fecPhotos: 200,
  fecTrain: 400,
  fecTest: 100,
}
