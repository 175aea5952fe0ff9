import { open } from 'node:fs/promises'
import { FormatError } from '@deepfever/core'
import { targets, type Artifact } from '@deepfever/formats'
import { openFaceIndex, type FaceIndex } from './face-ids.ts'
import type { FaceTable } from './face-table.ts'

/** Targets as plain float32 rows in a file, so that a batch reads its own and nothing else. */
export interface TargetFile {
  readonly path: string
  readonly width: number
  /** widths of its blocks, in order */
  readonly blocks: readonly number[]
  /** byte of the file where the target of a face begins */
  offsetOf(row: number, flipped: boolean): number
}

const MISSING = -1
const views = ['plain', 'flipped'] as const
const CHUNK_BYTES = 4 * 2 ** 20

/**
 * Lays the targets of the faces in `needed` down in `path`.
 *
 * @param teachers those whose blocks are taken, by their place in the artifact
 * @throws FormatError before the first step when one of them has no target in one of its views
 */
export async function writeTargetFile(
  path: string,
  artifact: Artifact,
  faces: FaceTable,
  needed: readonly Int32Array[],
  teachers: readonly number[],
): Promise<TargetFile> {
  const rowOf = openFaceIndex(faces)
  const places = new Int32Array(2 * faces.length).fill(MISSING)
  const blocks = blocksOf(artifact, teachers)
  const handle = await open(path, 'w')
  const width = blocks.reduce((sum, block) => sum + block.width, 0)
  let written = 0
  try {
    const chunk = new Float32Array(Math.max(1, Math.floor(CHUNK_BYTES / 4 / width)) * width)
    let filled = 0
    const flush = async () => {
      await handle.writeFile(new Uint8Array(chunk.buffer, 0, 4 * filled))
      filled = 0
    }
    for await (const { faceId, view, target } of artifact.rows(targets)) {
      const row = rowOf(faceId)
      if (row === undefined) continue
      places[2 * row + (view === 'flipped' ? 1 : 0)] = written++
      for (const { start, width: of } of blocks) {
        chunk.set(target.subarray(start, start + of), filled)
        filled += of
      }
      if (filled === chunk.length) await flush()
    }
    await flush()
  } finally {
    await handle.close()
  }
  for (const rows of needed) shareTargets(rows, places, { faces, rowOf, path: artifact.path })
  const rowBytes = 4 * width
  return {
    ...{ path, width, blocks: blocks.map(block => block.width) },
    offsetOf: (row, flipped) => places[2 * row + (flipped ? 1 : 0)]! * rowBytes,
  }
}

interface Known {
  readonly faces: FaceTable
  readonly rowOf: FaceIndex
  readonly path: string
}

/** A face may stand in two streams: every row learns from the target of the first. */
function shareTargets(rows: Int32Array, places: Int32Array, { faces, rowOf, path }: Known): void {
  for (const row of rows) {
    const faceId = faces.idOf(row)
    const first = rowOf(faceId)!
    for (const [i, view] of views.entries()) {
      const place = places[2 * first + i]!
      places[2 * row + i] = place
      if (place === MISSING)
        throw new FormatError(
          `${path}: no ${view} target for face ${faceId}; ` +
            'make targets for every faces artifact that is trained on: npx deepfever targets predict',
          { path, faceId, view },
        )
    }
  }
}

interface Block {
  readonly teacher: string
  readonly start: number
  readonly width: number
}

/** The blocks of some teachers, as the artifact's metadata name them. */
function blocksOf({ path, manifest }: Artifact, teachers: readonly number[]): Block[] {
  const blocks = (manifest.metadata['blocks'] ?? []) as readonly Block[]
  const names = [...new Set(blocks.map(({ teacher }) => teacher))]
  const missing = teachers.find(place => names[place] === undefined)
  if (missing !== undefined || teachers.length === 0)
    throw new FormatError(
      `${path}: has the targets of ${names.length} teachers, wanted number ${missing ?? 'none'} ` +
        'of them (from 0); see the setting teachers, or make targets with: npx deepfever targets predict',
      { path, found: names.length, wanted: teachers },
    )
  return teachers.flatMap(place => blocks.filter(({ teacher }) => teacher === names[place]))
}
