import { join } from 'node:path'
import { mapOrdered, type Context } from '@deepfever/core'
import { openArtifact, sha256, writeArtifact } from '@deepfever/formats'
import type { FaceEntry, FaceSet } from './face-set.ts'
import { HASH_SIDE, hashOf, toGrey, type PictureHash } from './picture-hash.ts'

const FILE = 'hashes.bin'
const NONE: PictureHash = [0, 0, 0, 0]

/** Luminance of a face at a side; undefined where its picture cannot be decoded. */
export const greyOf = (face: FaceEntry, side: number): Promise<Float32Array | undefined> =>
  face.picture(side).then(toGrey, () => undefined)

/**
 * Hashes of all faces in their order, four words each, made once and kept under `cache` by data.
 */
export async function storeHashes(
  faceSet: FaceSet,
  cache: string,
  workers: number,
  { log, checkpoint }: Pick<Context, 'log' | 'checkpoint'>,
): Promise<Uint32Array> {
  const { digest, terms } = faceSet
  const out = join(cache, `hashes-${sha256(digest).slice(0, 16)}`)
  const inputs = [{ role: 'faces', digest, terms }]
  const work = { stage: 'eval hashes', behaviour: 1, identity: {} }
  await writeArtifact({ ...work, kind: 'hashes', inputs, out }, log, async write => {
    const hashes = new Uint32Array(faceSet.total * 4)
    const bar = log.progress('hashes', faceSet.total)
    let at = 0
    for await (const hash of mapOrdered(faceSet.rows(), workers * 4, async face => {
      const grey = await greyOf(face, HASH_SIDE)
      return grey ? hashOf(grey) : NONE
    })) {
      checkpoint()
      hashes.set(hash, at)
      at += 4
      bar.advance()
    }
    bar.done()
    await write.file(FILE, new Uint8Array(hashes.buffer))
    write.accept(faceSet.total)
    await write.done('hashes', faceSet.total)
  })
  const bytes = await (await openArtifact(out, 'hashes')).file(FILE)
  return new Uint32Array(bytes.slice().buffer)
}
