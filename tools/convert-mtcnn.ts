// Makes packages/faces/assets/mtcnn.safetensors from facenet-pytorch's pnet.pt, rnet.pt, onet.pt:
//   node --import tsx tools/convert-mtcnn.ts FOLDER_WITH_THE_PT_FILES
import { createHash } from 'node:crypto'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { FormatError, UsageError } from '@deepfever/core'
import { decodeTorch, encodeSafetensors, stateDictOf } from '@deepfever/formats'
import type { Tensor } from '@deepfever/formats'

const sources = {
  pnet: 'a2a71925e0b9996a42f63e47efc1ca19043e69558b5c523b978d611dfae49c8f',
  rnet: 'bbb937de72efc9ef83b186c49f5f558467a1d7e3453a8ece0d71a886633f6a86',
  onet: '165bfbe42940416ccfb977545cf0e976d5bf321f67083ae2aaaa5c764280118d',
} as const

const target = fileURLToPath(new URL('../packages/faces/assets/mtcnn.safetensors', import.meta.url))

/** The three state dicts in one safetensors file, keys prefixed by the network's name. */
export async function convertMtcnn(folder: string): Promise<Uint8Array> {
  const tensors = new Map<string, Tensor>()
  const metadata: Record<string, string> = { licence: 'MIT', package: 'facenet-pytorch 2.6.0' }
  for (const [network, wanted] of Object.entries(sources)) {
    const path = join(folder, `${network}.pt`)
    const bytes = await readFile(path)
    const found = createHash('sha256').update(bytes).digest('hex')
    if (found !== wanted) {
      throw new FormatError(
        `${path}: sha256 ${found}, expected ${wanted}; take the file from the wheel of facenet-pytorch 2.6.0`,
        { path, found, wanted },
      )
    }
    metadata[`${network}.sha256`] = found
    for (const [key, tensor] of stateDictOf(decodeTorch(bytes, path), path)) {
      tensors.set(`${network}.${key}`, tensor)
    }
  }
  return encodeSafetensors(tensors, metadata)
}

const [, script, folder] = process.argv
if (script !== undefined && fileURLToPath(import.meta.url) === script) {
  if (folder === undefined) throw new UsageError('name the folder with pnet.pt, rnet.pt, onet.pt')
  await writeFile(target, await convertMtcnn(folder))
}
