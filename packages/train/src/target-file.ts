import { open } from 'node:fs/promises'
import { FormatError } from '@deepfever/core'
import { targets, type Artifact } from '@deepfever/formats'
import type { OpenFaceTable } from './face-table.ts'

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
  faces: OpenFaceTable,
  needed: Iterable<number>,
  teachers: readonly number[],
): Promise<TargetFile> {
  const places = new Int32Array(2 * faces.length).fill(MISSING)
  const blocks = blocksOf(artifact, teachers)
  const handle = await open(path, 'w')
  const width = blocks.reduce((sum, block) => sum + block.width, 0)
  let written = 0
  try {
    let chunk: Float32Array[] = []
    const flush = async () => {
      const bytes = chunk.map(row => new Uint8Array(row.buffer, row.byteOffset, row.byteLength))
      await handle.writeFile(Buffer.concat(bytes))
      chunk = []
    }
    for await (const { faceId, view, target } of artifact.rows(targets)) {
      const row = faces.rowOf.get(faceId)
      if (row === undefined) continue
      places[2 * row + (view === 'flipped' ? 1 : 0)] = written++
      const own = new Float32Array(width)
      let at = 0
      for (const { start, width: of } of blocks) {
        own.set(target.subarray(start, start + of), at)
        at += of
      }
      if (chunk.push(own) * own.byteLength >= CHUNK_BYTES) await flush()
    }
    await flush()
  } finally {
    await handle.close()
  }
  // A face may stand in two streams; both rows learn from the one target.
  const placeOf = (row: number, view: number) => {
    const first = faces.rowOf.get(faces.idOf(row))!
    return places[2 * first + view]!
  }
  const own = new Int32Array(places.length)
  for (const row of needed)
    for (const [i, view] of views.entries()) {
      own[2 * row + i] = placeOf(row, i)
      if (own[2 * row + i] === MISSING)
        throw new FormatError(
          `${artifact.path}: no ${view} target for face ${faces.idOf(row)}; ` +
            'make targets for every faces artifact that is trained on: npx deepfever targets predict',
          { path: artifact.path, faceId: faces.idOf(row), view },
        )
    }
  const rowBytes = 4 * width
  return {
    ...{ path, width, blocks: blocks.map(block => block.width) },
    offsetOf: (row, flipped) => own[2 * row + (flipped ? 1 : 0)]! * rowBytes,
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
