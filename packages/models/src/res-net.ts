import { NORM_EPS } from './conv-norm.ts'
import type { Conv2d, Ops } from './ops.ts'

/** The sizes of a bottleneck ResNet (He et al. 2016, with the stride in the 3x3 convolution). */
export interface ResNet {
  /** blocks of layer1 to layer4 */
  readonly blocks: readonly [number, number, number, number]
  /** channels after the first convolution; a block gives 4, 8, 16, 32 times as many */
  readonly stem: number
}

/** torchvision's resnet50: 2048 channels at a 32nd of the image size. */
export const RESNET50: ResNet = { blocks: [3, 4, 6, 3], stem: 64 }

/** A ResNet before its pooling and classifier, under torchvision's names. Every layer is tapped. */
export function resNet<T>(ops: Ops<T>, name: string, image: T, { blocks, stem }: ResNet): T {
  const convNorm = (conv: string, norm: string, x: T, options: Conv2d) =>
    ops.batchNorm(`${name}.${norm}`, ops.conv2d(`${name}.${conv}`, x, options), { eps: NORM_EPS })

  const bottleneck = (path: string, x: T, channels: number, stride: number, first: boolean): T => {
    const one = { kernel: 1 }
    let y = ops.relu(convNorm(`${path}.conv1`, `${path}.bn1`, x, { out: channels, ...one }))
    const three = { out: channels, kernel: 3, stride, padding: 1 }
    y = ops.relu(convNorm(`${path}.conv2`, `${path}.bn2`, y, three))
    y = convNorm(`${path}.conv3`, `${path}.bn3`, y, { out: 4 * channels, ...one })
    const down = `${path}.downsample`
    const same = first
      ? convNorm(`${down}.0`, `${down}.1`, x, { out: 4 * channels, kernel: 1, stride })
      : x
    return ops.relu(ops.add(y, same))
  }

  let x = convNorm('conv1', 'bn1', image, { out: stem, kernel: 7, stride: 2, padding: 3 })
  x = ops.maxPool(ops.relu(x), { kernel: 3, stride: 2, padding: 1 })
  blocks.forEach((count, index) => {
    for (let block = 0; block < count; block++) {
      const stride = index > 0 && block === 0 ? 2 : 1
      x = bottleneck(`layer${index + 1}.${block}`, x, stem * 2 ** index, stride, block === 0)
    }
    x = ops.tap(`${name}.layer${index + 1}`, x)
  })
  return x
}
