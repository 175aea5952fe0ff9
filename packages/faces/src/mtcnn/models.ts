import { readFile } from 'node:fs/promises'
import { decodeSafetensors } from '@deepfever/formats'
import type { StateDict } from '@deepfever/formats'
import { oNet, rNet, toOnnx } from '@deepfever/models'
import { foldProposals } from './proposal-network.ts'

const WEIGHTS = new URL('../../assets/mtcnn.safetensors', import.meta.url)

/** The ONNX files of MTCNN's three networks, with facenet-pytorch's weights; P-Net is folded. */
export async function readMtcnn(): Promise<Record<'pnet' | 'rnet' | 'onet', Uint8Array>> {
  const { tensors } = decodeSafetensors(await readFile(WEIGHTS), 'mtcnn.safetensors')
  const folded = foldProposals(under(tensors, 'pnet.'))
  return {
    pnet: toOnnx(folded.network, folded.state),
    rnet: toOnnx(rNet, under(tensors, 'rnet.')),
    onet: toOnnx(oNet, under(tensors, 'onet.')),
  }
}

function under(tensors: StateDict, prefix: string): StateDict {
  return new Map(
    [...tensors]
      .filter(([key]) => key.startsWith(prefix))
      .map(([key, tensor]) => [key.slice(prefix.length), tensor]),
  )
}
