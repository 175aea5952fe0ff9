import { faces, targets, triplets, type Artifact, type Triplet } from '@deepfever/formats'
import { FormatError } from '@deepfever/core'

/** A face that a batch can take: its JPEG and its class. */
export interface Crop {
  readonly faceId: string
  readonly jpeg: Uint8Array
  readonly label: number
}

/** Three crops and their vote. */
export interface CropTriplet {
  readonly crops: readonly [Crop, Crop, Crop]
  readonly odd: number
  readonly kind: string
}

/** The training crops of a faces artifact: `train` rows, and those without a split. */
export async function readCrops(artifact: Artifact): Promise<Crop[]> {
  const crops: Crop[] = []
  for await (const face of artifact.rows(faces)) {
    if (face.split !== 'train' && face.split !== '') continue
    // A copy, so that the shard the picture is a view into can go.
    crops.push({ faceId: face.faceId, jpeg: face.crop.slice(), label: face.label })
  }
  return crops
}

/**
 * The training triplets of a FEC artifact, as references to its crops.
 *
 * @throws FormatError naming a triplet whose face is not in the artifact
 */
export async function readTriplets(
  artifact: Artifact,
  crops: readonly Crop[],
): Promise<CropTriplet[]> {
  const byId = new Map(crops.map(crop => [crop.faceId, crop]))
  const cropOf = (triplet: Triplet, faceId: string): Crop => {
    const crop = byId.get(faceId)
    if (crop) return crop
    throw new FormatError(
      `${artifact.path}: triplet ${triplet.tripletId} names face ${faceId}, which is not among its ` +
        `${byId.size} training faces; rebuild with: npx deepfever detect fec`,
      { path: artifact.path, tripletId: triplet.tripletId, faceId },
    )
  }
  const found: CropTriplet[] = []
  for await (const row of artifact.rows(triplets)) {
    if (row.split !== 'train') continue
    const [first, second, third] = [row.first, row.second, row.third].map(id => cropOf(row, id))
    found.push({ crops: [first!, second!, third!], odd: row.odd, kind: row.kind })
  }
  return found
}

/** Target vectors by face and view. */
export type TargetOf = (faceId: string, flipped: boolean) => Float32Array

/**
 * All targets of an artifact.
 *
 * @param needed ids that training will ask for, in both views
 * @throws FormatError before the first step when one of them has no target
 */
export async function readTargets(artifact: Artifact, needed: Iterable<string>): Promise<TargetOf> {
  const views = { plain: new Map<string, Float32Array>(), flipped: new Map<string, Float32Array>() }
  for await (const { faceId, view, target } of artifact.rows(targets))
    views[view === 'flipped' ? 'flipped' : 'plain'].set(faceId, target)
  for (const faceId of needed)
    for (const [view, found] of Object.entries(views))
      if (!found.has(faceId))
        throw new FormatError(
          `${artifact.path}: no ${view} target for face ${faceId}; ` +
            'make targets for every faces artifact that is trained on: npx deepfever targets predict',
          { path: artifact.path, faceId, view },
        )
  return (faceId, flipped) => views[flipped ? 'flipped' : 'plain'].get(faceId)!
}
