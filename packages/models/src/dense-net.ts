import { NORM_EPS } from './conv-norm.ts'
import type { Ops } from './ops.ts'

/** The sizes of a DenseNet (Huang et al. 2017). */
export interface DenseNet {
  /** channels that a layer adds */
  readonly growth: number
  /** layers of each block */
  readonly blocks: readonly number[]
  /** channels after the first convolution */
  readonly stem: number
  /** channels of a layer's 1x1 convolution, in units of `growth` */
  readonly bottleneck: number
}

/** torchvision's densenet201: 1920 channels at a 32nd of the image size. */
export const DENSENET201: DenseNet = {
  growth: 32,
  blocks: [6, 12, 48, 32],
  stem: 64,
  bottleneck: 4,
}

/** One layer: the `growth` channels that it adds to all those before it, `pieces`. */
function denseLayer<T>(
  ops: Ops<T>,
  name: string,
  pieces: readonly T[],
  { growth, bottleneck }: Pick<DenseNet, 'growth' | 'bottleneck'>,
): T {
  const normRelu = (norm: string, y: T) => ops.relu(ops.batchNorm(norm, y, { eps: NORM_EPS }))
  const names = { norm: `${name}.norm1`, conv: `${name}.conv1` }
  const out = bottleneck * growth
  const narrow =
    ops.denseInput?.(names, pieces, { out, eps: NORM_EPS }) ??
    ops.conv2d(names.conv, normRelu(names.norm, joined(ops, pieces)), { out, kernel: 1 })
  return ops.conv2d(`${name}.conv2`, normRelu(`${name}.norm2`, narrow), {
    out: growth,
    kernel: 3,
    padding: 1,
  })
}

/** A block of layers, each fed with all before it: `x` and what they add, joined. */
export function denseBlock<T>(
  ops: Ops<T>,
  nameOf: (layer: number) => string,
  x: T,
  layers: number,
  sizes: Pick<DenseNet, 'growth' | 'bottleneck'>,
): T {
  let pieces: readonly T[] = [x]
  for (let layer = 1; layer <= layers; layer++) {
    const all = [...pieces, denseLayer(ops, nameOf(layer), pieces, sizes)]
    // One growing value is cheaper, unless it is not to be kept.
    pieces = ops.denseInput ? all : [ops.concat(all)]
  }
  return joined(ops, pieces)
}

const joined = <T>(ops: Ops<T>, pieces: readonly T[]): T =>
  pieces.length > 1 ? ops.concat(pieces) : pieces[0]!

/**
 * A DenseNet's `features` under torchvision's names, and the ReLU that torchvision applies after
 * them. `pool0`, every block, every transition and `norm5` are tapped as `<name>.features.<module>`.
 */
export function denseNet<T>(ops: Ops<T>, name: string, image: T, config: DenseNet): T {
  const at = (module: string) => `${name}.features.${module}`
  const normRelu = (module: string, x: T) =>
    ops.relu(ops.batchNorm(at(module), x, { eps: NORM_EPS }))

  let x = ops.conv2d(at('conv0'), image, { out: config.stem, kernel: 7, stride: 2, padding: 3 })
  x = ops.maxPool(normRelu('norm0', x), { kernel: 3, stride: 2, padding: 1 })
  x = ops.tap(at('pool0'), x)
  config.blocks.forEach((layers, index) => {
    const block = `denseblock${index + 1}`
    const layerAt = (layer: number) => at(`${block}.denselayer${layer}`)
    x = ops.tap(at(block), denseBlock(ops, layerAt, x, layers, config))
    if (index === config.blocks.length - 1) return
    const transition = `transition${index + 1}`
    const half = Math.floor(ops.shape(x)[0]! / 2)
    x = ops.conv2d(at(`${transition}.conv`), normRelu(`${transition}.norm`, x), {
      out: half,
      kernel: 1,
    })
    x = ops.tap(at(transition), ops.avgPool(x, { kernel: 2, stride: 2 }))
  })
  x = ops.tap(at('norm5'), ops.batchNorm(at('norm5'), x, { eps: NORM_EPS }))
  return ops.relu(x)
}
