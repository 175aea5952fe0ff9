import { FormatError } from '@deepfever/core'
import type { StateDict } from '@deepfever/formats'

import type { Network } from './network.ts'
import { describeNetwork } from './shapes.ts'
import { float32Tensor, floatsOf, requireShape } from './state.ts'

/** Where published weights go in a network here, and what their tensors are called there. */
export interface WeightSource {
  readonly name: string
  /** the part of the network that they fill */
  readonly part: string
  /** the name within that part */
  rename(key: string): string
}

// torchvision's DenseNet checkpoints say `denselayer1.norm.1.weight`, its modules `norm1.weight`
const LEGACY =
  /^(.*denselayer\d+\.(?:norm|relu|conv))\.([12]\.(?:weight|bias|running_mean|running_var))$/

/** Published weights that can be brought in, by the name of their model. */
export const WEIGHT_SOURCES = {
  'inception-resnet-v1': { name: 'facenet-pytorch', part: 'trunk', rename: key => key },
  densenet: {
    name: 'torchvision DenseNet',
    part: 'backbone',
    rename: key => key.replace(LEGACY, '$1$2'),
  },
  resnet: { name: 'torchvision ResNet', part: 'backbone', rename: key => key },
  mobilenet: { name: 'torchvision MobileNetV2', part: 'backbone', rename: key => key },
} as const satisfies Record<string, WeightSource>

/** What became of the tensors of a weight file. */
export interface WeightImport {
  /** the weights that were given, with those of the file in their places */
  readonly state: StateDict
  /** names in the file whose values were taken */
  readonly used: readonly string[]
  /** names in the file that the network has no place for: later stages, a classifier */
  readonly ignored: readonly string[]
  /** names of the part that the file lacks; they keep the values that were given */
  readonly missing: readonly string[]
}

/**
 * Puts published weights in their places. Counters (`num_batches_tracked`) are passed over.
 *
 * @param initial weights for everything that the file does not bring
 * @param path where `weights` came from, for errors
 * @throws ShapeError when a tensor has another shape than its place: found and wanted are named
 * @throws FormatError when no tensor fits at all
 */
export function importWeights(
  network: Network,
  initial: StateDict,
  weights: StateDict,
  source: WeightSource,
  path: string,
): WeightImport {
  const places = new Map(describeNetwork(network).parameters.map(p => [p.name, p.shape]))
  const state = new Map(initial)
  const used: string[] = []
  const ignored: string[] = []
  const filled = new Set<string>()
  for (const [key, tensor] of weights) {
    if (key.endsWith('.num_batches_tracked')) continue
    const place = `${source.part}.${source.rename(key)}`
    const wanted = places.get(place)
    if (wanted === undefined) {
      ignored.push(key)
      continue
    }
    requireShape(path, key, tensor.shape, wanted)
    state.set(place, float32Tensor(wanted, floatsOf(tensor)))
    used.push(key)
    filled.add(place)
  }
  if (used.length === 0)
    throw new FormatError(
      `${path}: none of ${weights.size} tensors fits ${source.part} of ${network.name}, ` +
        `first is ${[...weights.keys()][0] ?? '(none)'}; expected ${source.name} weights`,
      { path, found: [...weights.keys()].slice(0, 8), wanted: source.name },
    )
  const missing = [...places.keys()].filter(
    name => name.startsWith(`${source.part}.`) && !filled.has(name),
  )
  return { state, used, ignored, missing }
}
