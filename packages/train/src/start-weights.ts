import { readFile } from 'node:fs/promises'
import { StageError } from '@deepfever/core'
import {
  decodeSafetensors,
  sha256,
  unstatedTerms,
  type InputEntry,
  type StateDict,
} from '@deepfever/formats'
import {
  importWeights,
  initialise,
  publishedFor,
  remedyFor,
  toNetwork,
  weightsPath,
} from '@deepfever/models'
import type { Experiment } from './experiment.ts'

/** What a run starts from, and the digest of the file it came from, if any. */
export interface StartWeights {
  readonly state: StateDict
  readonly inputs: readonly InputEntry[]
}

/** What `models import` wrote has our names already. */
const imported = (name: string, part: string) => ({
  name: `imported ${name}`,
  part,
  rename: (key: string) => key.slice(part.length + 1),
})

/**
 * The weights before the first step: seeded by parameter name, and for `init: 'pretrained'` the
 * published ones over them.
 *
 * @param folder where published weights lie; standard: datasets/weights
 * @throws StageError when published weights are wanted and absent; there is no silent fallback
 * @throws ShapeError when they are of another size than the network
 */
export async function readStartWeights(
  { network: specification, init, seed }: Experiment,
  folder?: string,
): Promise<StartWeights> {
  const network = toNetwork(specification)
  if (init === 'random') return { state: initialise(network, seed), inputs: [] }
  const published = publishedFor(specification)
  const path = weightsPath(published, folder)
  const data = await readFile(path).catch((thrown: NodeJS.ErrnoException) => {
    if (thrown.code !== 'ENOENT') throw thrown
    throw new StageError(
      `${path}: the published weights are missing; ${remedyFor(published)} ` +
        `(or start from seeded weights: --init=random)`,
      { path },
      thrown,
    )
  })
  const { tensors, metadata } = decodeSafetensors(data, path)
  const source = imported(published.name, published.source.part)
  const { state, missing } = importWeights(
    network,
    initialise(network, seed),
    tensors,
    source,
    path,
  )
  if (missing.length > 0)
    throw new StageError(
      `${path}: lacks ${missing.length} tensors of ${network.name}, first is ${missing[0]}; ` +
        `import it again: ${remedyFor(published)}`,
      { path, missing: missing.slice(0, 8) },
    )
  const licence = metadata.get('licence') ?? unstatedTerms.licence
  const terms = [{ ...unstatedTerms, licence }]
  return { state, inputs: [{ role: 'weights', digest: sha256(data), terms }] }
}
