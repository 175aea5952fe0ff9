import { NORM_EPS } from './conv-norm.ts'
import type { Conv2d, Ops } from './ops.ts'

/** MobileNetV2's one knob. */
export interface MobileNetV2 {
  /** multiplies every channel count, rounded to multiples of 8 */
  readonly width: number
}

// expansion, channels, blocks, stride: table 2 of Sandler et al. 2018
const BLOCKS = [
  [1, 16, 1, 1],
  [6, 24, 2, 2],
  [6, 32, 3, 2],
  [6, 64, 4, 2],
  [6, 96, 3, 1],
  [6, 160, 3, 2],
  [6, 320, 1, 1],
] as const

/** The nearest multiple of 8 that is at least 8 and loses at most a tenth. */
function rounded(channels: number): number {
  const near = Math.max(8, Math.floor((channels + 4) / 8) * 8)
  return near < 0.9 * channels ? near + 8 : near
}

/** MobileNetV2's `features` under torchvision's names: 1280 channels at a 32nd of the image size. */
export function mobileNetV2<T>(ops: Ops<T>, name: string, image: T, { width }: MobileNetV2): T {
  const convNorm = (conv: string, norm: string, x: T, options: Conv2d) =>
    ops.batchNorm(norm, ops.conv2d(conv, x, options), { eps: NORM_EPS })
  const convNormRelu6 = (path: string, x: T, options: Conv2d) =>
    ops.relu6(convNorm(`${path}.0`, `${path}.1`, x, options))

  const inverted = (path: string, x: T, expand: number, out: number, stride: number): T => {
    const channels = ops.shape(x)[0]!
    const hidden = channels * expand
    const depthwise = { out: hidden, kernel: 3, stride, padding: 1, groups: hidden }
    let step = 0
    let y = x
    if (expand !== 1) y = convNormRelu6(`${path}.conv.${step++}`, y, { out: hidden, kernel: 1 })
    y = convNormRelu6(`${path}.conv.${step++}`, y, depthwise)
    y = convNorm(`${path}.conv.${step}`, `${path}.conv.${step + 1}`, y, { out, kernel: 1 })
    return stride === 1 && channels === out ? ops.add(x, y) : y
  }

  const at = (index: number) => `${name}.features.${index}`
  let index = 0
  let x = convNormRelu6(at(index++), image, {
    out: rounded(32 * width),
    kernel: 3,
    stride: 2,
    padding: 1,
  })
  for (const [expand, channels, count, stride] of BLOCKS)
    for (let block = 0; block < count; block++)
      x = inverted(at(index++), x, expand, rounded(channels * width), block === 0 ? stride : 1)
  const last = rounded(1280 * Math.max(1, width))
  return ops.tap(at(index), convNormRelu6(at(index), x, { out: last, kernel: 1 }))
}
