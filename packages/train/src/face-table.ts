import { faces, type Artifact, type BytesPlace } from '@deepfever/formats'
import { openFaceIds } from './face-ids.ts'

/**
 * The faces of all streams by row. Pictures stay in their shards; a face costs its id and 18 bytes.
 */
export interface FaceTable {
  readonly length: number
  idOf(row: number): string
  /** class number, -1 where there is none */
  labelOf(row: number): number
  /** where its JPEG lies */
  placeOf(row: number): BytesPlace
}

/** A table that is still being filled. */
export interface OpenFaceTable extends FaceTable {
  /** Adds the training faces of an artifact: `train` rows, and those without a split; their rows. */
  add(artifact: Artifact): Promise<Int32Array>
}

/** Opens an empty table with room for the faces of `artifacts`. */
export function openFaceTable(artifacts: readonly Artifact[]): OpenFaceTable {
  const room = artifacts.reduce((sum, { manifest }) => sum + (manifest.tables.faces?.rows ?? 0), 0)
  const ids = openFaceIds(room)
  const labels = new Int16Array(room)
  const shards: string[] = []
  const shardOf = new Int32Array(room)
  const offsets = new Uint32Array(room)
  const sizes = new Uint32Array(room)
  return {
    get length() {
      return ids.length
    },
    idOf: ids.idOf,
    labelOf: row => labels[row]!,
    placeOf: row => ({
      path: shards[shardOf[row]!]!,
      offset: offsets[row]!,
      sizeBytes: sizes[row]!,
    }),
    async add(artifact) {
      const first = ids.length
      for await (const { row: face, place } of artifact.placed(faces, 'crop')) {
        if (face.split !== 'train' && face.split !== '') continue
        const row = ids.length
        if (shards.at(-1) !== place.path) shards.push(place.path)
        labels[row] = face.label
        shardOf[row] = shards.length - 1
        offsets[row] = place.offset
        sizes[row] = place.sizeBytes
        ids.add(face.faceId)
      }
      return Int32Array.from({ length: ids.length - first }, (_, i) => first + i)
    },
  }
}
