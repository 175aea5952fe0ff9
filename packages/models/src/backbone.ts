import { DENSENET201, denseNet } from './dense-net.ts'
import type { DenseNet } from './dense-net.ts'
import { mobileNetV2 } from './mobile-net-v2.ts'
import type { MobileNetV2 } from './mobile-net-v2.ts'
import type { Normalisation, Ops } from './ops.ts'
import { RESNET50, resNet } from './res-net.ts'
import type { ResNet } from './res-net.ts'

/** What a student may stand on, with its sizes. */
export type Backbone =
  | ({ readonly kind: 'densenet' } & DenseNet)
  | ({ readonly kind: 'resnet' } & ResNet)
  | ({ readonly kind: 'mobilenet' } & MobileNetV2)

/** The backbones at the sizes of torchvision's published weights. */
export const BACKBONES = {
  densenet201: { kind: 'densenet', ...DENSENET201 },
  resnet50: { kind: 'resnet', ...RESNET50 },
  mobilenetV2: { kind: 'mobilenet', width: 1 },
} as const satisfies Record<string, Backbone>

const MEAN = [0.485, 0.456, 0.406]
const STD = [0.229, 0.224, 0.225]

/** torchvision's ImageNet mean and standard deviation, in units of 0..255. */
export const IMAGENET_NORMALISATION: Normalisation = {
  mean: MEAN.map(value => value * 255),
  std: STD.map(value => value * 255),
}

/** The feature map of a backbone, torchvision's names under `<name>.`. */
export function buildBackbone<T>(ops: Ops<T>, name: string, image: T, backbone: Backbone): T {
  if (backbone.kind === 'densenet') return denseNet(ops, name, image, backbone)
  if (backbone.kind === 'resnet') return resNet(ops, name, image, backbone)
  return mobileNetV2(ops, name, image, backbone)
}
