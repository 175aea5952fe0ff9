import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { StageError } from '@deepfever/core'
import { decodeSafetensors, sha256, type InputEntry, type StateDict } from '@deepfever/formats'
import { initialise, toNetwork, type NetworkSpecification } from '@deepfever/models'
import type { Experiment } from './experiment.ts'

/** Where `npx deepfever models import` puts published weights. */
export const WEIGHTS_FOLDER = 'datasets/weights'

/** Published weights by the part of a network that they start. */
const PUBLISHED = {
  teacher: {
    file: 'inception-resnet-v1',
    source: '20180402-114759-vggface2.pt from the releases (v2.2.9) of timesler/facenet-pytorch',
  },
  densenet: {
    file: 'densenet201',
    source: 'densenet201-c1103571.pth, the ImageNet weights of torchvision',
  },
  resnet: { file: 'resnet50', source: 'resnet50-0676ba61.pth, the ImageNet weights of torchvision' },
  mobilenet: {
    file: 'mobilenet-v2',
    source: 'mobilenet_v2-b0353104.pth, the ImageNet weights of torchvision',
  },
} as const

/** The file of published weights that a network starts from. */
export const publishedFor = (specification: NetworkSpecification) =>
  PUBLISHED[specification.kind === 'teacher' ? 'teacher' : specification.backbone.kind]

/** What a run starts from, and the digest of the file it came from, if any. */
export interface StartWeights {
  readonly state: StateDict
  readonly inputs: readonly InputEntry[]
}

/**
 * The weights before the first step: seeded by parameter name, and for `init: 'pretrained'` the
 * published ones over them.
 *
 * @throws StageError when published weights are wanted and absent; there is no silent fallback
 */
export async function readStartWeights(
  { network: specification, init, seed }: Experiment,
  folder: string = WEIGHTS_FOLDER,
): Promise<StartWeights> {
  const network = toNetwork(specification)
  const fresh = initialise(network, seed)
  if (init === 'random') return { state: fresh, inputs: [] }
  const { file, source } = publishedFor(specification)
  const path = join(folder, `${file}.safetensors`)
  const data = await readFile(path).catch((thrown: NodeJS.ErrnoException) => {
    if (thrown.code !== 'ENOENT') throw thrown
    throw new StageError(
      `${path}: the published weights are missing; get ${source}, then: npx deepfever models import ` +
        `--weights=FILE --into=${specification.kind} (or start from seeded weights: --init=random)`,
      { path, source },
      thrown,
    )
  })
  const { tensors } = decodeSafetensors(data, path)
  return {
    state: new Map([...fresh, ...tensors]),
    inputs: [{ role: 'weights', digest: sha256(data) }],
  }
}
