import { join } from 'node:path'
import { mapOrdered, type Context } from '@deepfever/core'
import { openArtifact, sha256, writeArtifact } from '@deepfever/formats'
import type { FaceEntry, FaceSet } from './face-set.ts'
import { PICTURE_SIDE, hashOf, toGrey } from './picture-hash.ts'
import { THUMB_BYTES, thumbsOf } from './picture-thumbs.ts'

const FILES = { hashes: 'hashes.bin', thumbs: 'thumbs.bin' } as const

/** What pictures are looked up by, in the order of their faces. */
export interface Signatures {
  readonly count: number
  /** four words a face, see `hashOf`; zeros where a picture cannot be decoded */
  readonly hashes: Uint32Array
  /** 288 bytes a face, see `thumbsOf` */
  readonly thumbs: Uint8Array
}

/** Room for the signatures of `count` faces, none of them decoded yet. */
export const emptySignatures = (count: number): Signatures => ({
  count,
  hashes: new Uint32Array(count * 4),
  thumbs: new Uint8Array(count * THUMB_BYTES),
})

/**
 * Sets the signature of one row.
 *
 * @param grey 48 x 48 luminance
 */
export function setSignature(
  { hashes, thumbs }: Signatures,
  row: number,
  grey: Float32Array,
): void {
  hashes.set(hashOf(grey), row * 4)
  thumbs.set(thumbsOf(grey), row * THUMB_BYTES)
}

/** Signatures of some rows, in the order of `rows`. */
export function pickSignatures(all: Signatures, rows: ArrayLike<number>): Signatures {
  const picked = emptySignatures(rows.length)
  for (let to = 0; to < rows.length; to++) {
    const row = rows[to]!
    picked.hashes.set(all.hashes.subarray(row * 4, row * 4 + 4), to * 4)
    picked.thumbs.set(
      all.thumbs.subarray(row * THUMB_BYTES, (row + 1) * THUMB_BYTES),
      to * THUMB_BYTES,
    )
  }
  return picked
}

/** Luminance of a face, 48 x 48; undefined where its picture cannot be decoded. */
export const greyOf = (face: FaceEntry): Promise<Float32Array | undefined> =>
  face.picture(PICTURE_SIDE).then(toGrey, () => undefined)

/** Signatures of all faces in their order, made once and kept under `cache` by data. */
export async function storeSignatures(
  faceSet: FaceSet,
  cache: string,
  workers: number,
  { log, checkpoint }: Pick<Context, 'log' | 'checkpoint'>,
): Promise<Signatures> {
  const { digest, terms, total } = faceSet
  const out = join(cache, `pictures-${sha256(digest).slice(0, 16)}`)
  const inputs = [{ role: 'faces', digest, terms }]
  const work = { stage: 'eval pictures', behaviour: 1, identity: {} }
  await writeArtifact({ ...work, kind: 'signatures', inputs, out }, log, async write => {
    const signatures = emptySignatures(total)
    const bar = log.progress('pictures', total)
    let row = 0
    for await (const grey of mapOrdered(faceSet.rows(), workers * 4, greyOf)) {
      checkpoint()
      if (grey) setSignature(signatures, row, grey)
      row++
      bar.advance()
    }
    bar.done()
    await write.file(FILES.hashes, new Uint8Array(signatures.hashes.buffer))
    await write.file(FILES.thumbs, signatures.thumbs)
    write.accept(total)
    await write.done('pictures', total)
  })
  const artifact = await openArtifact(out, 'signatures')
  const hashes = await artifact.file(FILES.hashes)
  return {
    count: total,
    hashes: new Uint32Array(hashes.slice().buffer),
    thumbs: await artifact.file(FILES.thumbs),
  }
}
