import { commonOptions, defineStage, integer, path } from '@deepfever/core'
import {
  clips,
  faces,
  openParts,
  qualities,
  writeArtifact,
  type Artifact,
  type ArtifactWriter,
  type ClipRow,
  type Tally,
} from '@deepfever/formats'
import { writeTallies } from './clip-faces.ts'
import { itemOf, openClipGroups } from './faces-writer.ts'
import { MAX_DISTANCE, withoutNearDuplicates } from './near-duplicates.ts'

const SIGNATURE_BYTES = 16

/** Which faces of all parts, in their order, are near none that is sharper. */
async function chooseFaces(artifacts: readonly Artifact[], distance: number): Promise<Uint8Array> {
  const count = artifacts.reduce(
    (sum, { manifest }) => sum + (manifest.tables.qualities?.rows ?? 0),
    0,
  )
  if (distance < 0) return new Uint8Array(count).fill(1)
  const faceIds: string[] = []
  const sharpness = new Float32Array(count)
  const signatures = new Uint8Array(count * SIGNATURE_BYTES)
  for (const artifact of artifacts) {
    if (!artifact.manifest.tables.qualities) continue
    for await (const row of artifact.rows(qualities)) {
      sharpness[faceIds.length] = row.sharpness
      signatures.set(row.signature, faceIds.length * SIGNATURE_BYTES)
      faceIds.push(row.faceId)
    }
  }
  return withoutNearDuplicates({ faceIds, sharpness, signatures }, distance)
}

/** Joins the parts of a divided run and leaves out faces that are nearly the same. */
export const merge = defineStage({
  name: 'detect merge',
  summary: 'the parts of a divided detect, joined into one faces artifact without near-duplicates',
  behaviour: 1,
  options: {
    ...commonOptions,
    parts: path('folder with the parts (<out>.parts of detect faces --shard)'),
    out: path('where the faces artifact goes'),
    near: integer({
      help: 'bits of 128 in which signatures of near-duplicates differ at most; -1 keeps all',
      ...{ standard: 4, min: -1, max: MAX_DISTANCE },
    }),
  },
  async run({ parts: folder, out, force, near }, { log, work, checkpoint }) {
    const { artifacts, inputs, terms, ...made } = await openParts(folder, 'faces')
    const identity = { ...made.identity, ...work.identity, made: `${made.stage} ${made.behaviour}` }
    const spec = { ...work, identity, kind: 'faces', inputs, terms, out, force }
    return writeArtifact(spec, log, async write => {
      write.describe(artifacts[0]!.manifest.metadata)
      const kept = await chooseFaces(artifacts, near)
      const bar = log.progress('clips', made.clips.length)
      let position = 0
      for (const artifact of artifacts) {
        if (!artifact.manifest.tables.clips) continue
        const groups = openClipGroups(artifact)
        for await (const clip of artifact.rows(clips)) {
          checkpoint()
          position = await mergeClip(clip, groups, kept, position, write)
          bar.advance()
        }
      }
      bar.done()
    })
  },
})

/** Writes what is kept of one clip; gives the position behind its last face. */
async function mergeClip(
  clip: ClipRow,
  groups: ReturnType<typeof openClipGroups>,
  kept: Uint8Array,
  from: number,
  write: ArtifactWriter,
): Promise<number> {
  const { clipId, clipName } = clip
  const done = write.isDone(itemOf(clip))
  const turnedAway: Tally[] = []
  for await (const row of groups.tallies.take(itemOf(clip))) turnedAway.push(row)
  let position = from
  let written = 0
  let near: Tally | undefined
  for await (const face of groups.faces.take(clipId)) {
    const stays = kept[position++] === 1
    if (stays && !done) await write.append(faces, face)
    if (stays) written++
    else {
      const first = {
        clipId,
        clipName,
        code: 'near_duplicate',
        example: face.faceId,
        crop: face.crop,
      }
      near = { ...(near ?? first), count: (near?.count ?? 0) + 1 }
    }
  }
  let row = from
  for await (const quality of groups.qualities.take(clipId))
    if (kept[row++] === 1 && !done) await write.append(qualities, quality)
  if (done) return position
  if (near) turnedAway.push(near)
  await write.append(clips, clip)
  write.accept(written)
  turnedAway.sort((a, b) => (a.code < b.code ? -1 : 1))
  await write.done(itemOf(clip), written + (await writeTallies(turnedAway, write)))
  return position
}
