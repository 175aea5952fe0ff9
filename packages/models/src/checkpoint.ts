import { FormatError } from '@deepfever/core'
import {
  decodeSafetensors,
  encodeSafetensors,
  openArtifact,
  type ArtifactWriter,
  type StateDict,
  type Terms,
} from '@deepfever/formats'
import { toNetwork, type NetworkSpecification } from './specification.ts'
import { parametersOf } from './state.ts'
import type { Network } from './network.ts'

const NETWORK_FILE = 'network.json'
const WEIGHTS_FILE = 'weights.safetensors'

/** What a checkpoint's manifest says of the run behind it. */
export interface Training {
  /** digest of everything the run computed but its seed: equal in runs that repeat one another */
  readonly recipe: string
  readonly seed: number
}

/** A trained network as it lies in a checkpoint artifact. */
export interface Checkpoint {
  readonly path: string
  /** digest of the artifact: names weights and architecture */
  readonly digest: string
  /** of what it was trained on */
  readonly terms: readonly Terms[]
  /** undefined where nothing was recorded of it */
  readonly training?: Training | undefined
  readonly specification: NetworkSpecification
  readonly network: Network
  readonly state: StateDict
}

/** Writes the two files of a checkpoint: network.json and weights.safetensors. */
export async function writeCheckpoint(
  write: Pick<ArtifactWriter, 'file'>,
  specification: NetworkSpecification,
  state: StateDict,
): Promise<void> {
  await write.file(NETWORK_FILE, `${JSON.stringify(specification, null, 1)}\n`)
  await write.file(WEIGHTS_FILE, encodeSafetensors(state, { format: 'pt' }))
}

/**
 * Opens a checkpoint artifact.
 *
 * @param kind what the caller needs; any where it is left out
 * @throws FormatError when it is another kind of network; ShapeError when weights do not fit it
 */
export async function openCheckpoint(
  path: string,
  kind?: NetworkSpecification['kind'],
): Promise<Checkpoint> {
  const artifact = await openArtifact(path, 'checkpoint')
  const json = Buffer.from(await artifact.file(NETWORK_FILE)).toString()
  const specification = JSON.parse(json) as NetworkSpecification
  if (kind !== undefined && specification.kind !== kind)
    throw new FormatError(`${path}: found a ${specification.kind}, wanted a ${kind}`, {
      path,
      found: specification.kind,
      wanted: kind,
    })
  const weights = decodeSafetensors(await artifact.file(WEIGHTS_FILE), `${path}/${WEIGHTS_FILE}`)
  const network = toNetwork(specification)
  parametersOf(network, weights.tensors)
  const { digest, manifest } = artifact
  const { terms } = manifest
  const training = manifest.metadata['training'] as Training | undefined
  return { path, digest, terms, training, specification, network, state: weights.tensors }
}
