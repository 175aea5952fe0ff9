import { UsageError } from '@deepfever/core'

import { convNormRelu } from './conv-norm.ts'
import type { Conv2d, Normalisation, Ops } from './ops.ts'

const EPS = 1e-3

/** The stages in order; a trunk may be cut after any of them. */
export const INCEPTION_STAGES = [
  'conv2d_1a',
  'conv2d_2a',
  'conv2d_2b',
  'maxpool_3a',
  'conv2d_3b',
  'conv2d_4a',
  'conv2d_4b',
  'repeat_1',
  'mixed_6a',
  'repeat_2',
  'mixed_7a',
  'repeat_3',
  'block8',
] as const
/** One of the stages. */
export type InceptionStage = (typeof INCEPTION_STAGES)[number]

/** How much of Inception-ResNet-v1, how wide and how deep. */
export interface InceptionResnetV1 {
  readonly cut: InceptionStage
  /** multiplies every channel count */
  readonly width: number
  /** blocks of repeat_1, repeat_2 and repeat_3 */
  readonly repeats: readonly [number, number, number]
}

/** The part the teacher keeps: 7 x 7 x 896 at 140 pixels. */
export const TEACHER_TRUNK: InceptionResnetV1 = { cut: 'repeat_2', width: 1, repeats: [5, 10, 5] }

/** (x - 127.5) / 128, what the network's published weights were trained with. */
export const FACENET_NORMALISATION: Normalisation = {
  mean: [127.5, 127.5, 127.5],
  std: [128, 128, 128],
}

/**
 * Inception-ResNet-v1 up to and including `cut`, under facenet-pytorch's names (Szegedy et al.
 * 2016; the variant of FaceNet). Every stage is tapped as `<name>.<stage>`.
 */
export function inceptionResnetV1<T>(
  ops: Ops<T>,
  name: string,
  image: T,
  { cut, width, repeats }: InceptionResnetV1,
): T {
  const wide = (channels: number) => Math.max(1, Math.round(channels * width))
  const conv = (path: string, x: T, out: number, kernel: Conv2d['kernel'], rest: Rest = {}) =>
    convNormRelu(ops, `${name}.${path}`, x, { out: wide(out), kernel, ...rest }, EPS)
  const pool = (x: T) => ops.maxPool(x, { kernel: 3, stride: 2 })

  const residual = (path: string, x: T, branches: readonly T[], factor: number): T => {
    const [out] = ops.shape(x)
    const mixed = ops.conv2d(`${name}.${path}.conv2d`, ops.concat(branches), {
      out: out!,
      kernel: 1,
      bias: true,
    })
    return ops.add(ops.scale(mixed, factor), x)
  }
  const block35 = (path: string, x: T): T => {
    const b1 = conv(`${path}.branch1.0`, x, 32, 1)
    const b2 = conv(`${path}.branch2.0`, x, 32, 1)
    const b2b = conv(`${path}.branch2.1`, b2, 32, 3, { padding: 1 })
    const branches = [
      conv(`${path}.branch0`, x, 32, 1),
      conv(`${path}.branch1.1`, b1, 32, 3, { padding: 1 }),
      conv(`${path}.branch2.2`, b2b, 32, 3, { padding: 1 }),
    ]
    return ops.relu(residual(path, x, branches, 0.17))
  }
  const crossed = (path: string, x: T, channels: number, long: number, factor: number): T => {
    const side = (long - 1) / 2
    const b1 = conv(`${path}.branch1.0`, x, channels, 1)
    const row = conv(`${path}.branch1.1`, b1, channels, [1, long], { padding: [0, side] })
    const branches = [
      conv(`${path}.branch0`, x, channels, 1),
      conv(`${path}.branch1.2`, row, channels, [long, 1], { padding: [side, 0] }),
    ]
    return residual(path, x, branches, factor)
  }
  const block17 = (path: string, x: T): T => ops.relu(crossed(path, x, 128, 7, 0.1))
  const block8 = (path: string, x: T): T => ops.relu(crossed(path, x, 192, 3, 0.2))
  const repeated = (path: string, x: T, count: number, block: (path: string, x: T) => T): T =>
    Array.from({ length: count }, (_, i) => `${path}.${i}`).reduce((y, at) => block(at, y), x)

  const stages: Record<InceptionStage, (x: T) => T> = {
    conv2d_1a: x => conv('conv2d_1a', x, 32, 3, { stride: 2 }),
    conv2d_2a: x => conv('conv2d_2a', x, 32, 3),
    conv2d_2b: x => conv('conv2d_2b', x, 64, 3, { padding: 1 }),
    maxpool_3a: pool,
    conv2d_3b: x => conv('conv2d_3b', x, 80, 1),
    conv2d_4a: x => conv('conv2d_4a', x, 192, 3),
    conv2d_4b: x => conv('conv2d_4b', x, 256, 3, { stride: 2 }),
    repeat_1: x => repeated('repeat_1', x, repeats[0], block35),
    mixed_6a(x) {
      const b1 = conv('mixed_6a.branch1.0', x, 192, 1)
      const b1b = conv('mixed_6a.branch1.1', b1, 192, 3, { padding: 1 })
      return ops.concat([
        conv('mixed_6a.branch0', x, 384, 3, { stride: 2 }),
        conv('mixed_6a.branch1.2', b1b, 256, 3, { stride: 2 }),
        pool(x),
      ])
    },
    repeat_2: x => repeated('repeat_2', x, repeats[1], block17),
    mixed_7a(x) {
      const at = (branch: string) => `mixed_7a.branch${branch}`
      const b2 = conv(at('2.1'), conv(at('2.0'), x, 256, 1), 256, 3, { padding: 1 })
      return ops.concat([
        conv(at('0.1'), conv(at('0.0'), x, 256, 1), 384, 3, { stride: 2 }),
        conv(at('1.1'), conv(at('1.0'), x, 256, 1), 256, 3, { stride: 2 }),
        conv(at('2.2'), b2, 256, 3, { stride: 2 }),
        pool(x),
      ])
    },
    repeat_3: x => repeated('repeat_3', x, repeats[2], block8),
    block8: x => crossed('block8', x, 192, 3, 1),
  }

  let x = image
  for (const stage of INCEPTION_STAGES) {
    x = ops.tap(`${name}.${stage}`, stages[stage](x))
    if (stage === cut) return x
  }
  throw new UsageError(
    `trunk: cut is ${String(cut)}, expected one of ${INCEPTION_STAGES.join(', ')}`,
    {
      found: cut,
      wanted: INCEPTION_STAGES,
    },
  )
}

type Rest = Pick<Conv2d, 'stride' | 'padding'>
