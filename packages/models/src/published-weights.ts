import { join } from 'node:path'
import type { StateDict } from '@deepfever/formats'

import { BACKBONES } from './backbone.ts'
import { WEIGHT_SOURCES, type WeightSource } from './import.ts'
import type { Network } from './network.ts'
import { describeNetwork } from './shapes.ts'
import type { NetworkSpecification } from './specification.ts'
import { STUDENT, studentNetwork } from './student.ts'
import { teacherNetwork } from './teacher.ts'

/** A public file of weights. */
export interface PublishedFile {
  readonly name: string
  /** who publishes it and where, in words */
  readonly from: string
  readonly licence: string
}

/** A network that others have trained, as it is brought into ours. */
export interface PublishedWeights {
  /** `<name>.safetensors` in the folder of weights */
  readonly name: string
  readonly into: NetworkSpecification['kind']
  readonly source: WeightSource
  /** the first parts of the names that a whole file has and we leave: later stages, a classifier */
  readonly left: readonly string[]
  /** the files that fit; the first is the one the paper started from */
  readonly files: readonly [PublishedFile, ...PublishedFile[]]
  /** our network at the size of these weights */
  network(): Network
}

/** Where imported weights lie, from the repository's root. */
export const WEIGHTS_FOLDER = 'datasets/weights'

const FACENET = 'the releases (v2.2.9) of timesler/facenet-pytorch'
const FACENET_CODE = 'code MIT (Timothy Esler); the weights have no statement of their own'
const IMAGENET =
  'code BSD-3-Clause (torchvision); trained on ImageNet, whose terms (non-commercial research) ' +
  'may bind the weights'

const student = (backbone: keyof typeof BACKBONES) => () =>
  studentNetwork({ ...STUDENT, backbone: BACKBONES[backbone] })
const imageNet = (name: string): readonly [PublishedFile] => [
  { name, from: 'the ImageNet weights of torchvision', licence: IMAGENET },
]

/** All that can be imported. */
export const PUBLISHED_WEIGHTS: readonly PublishedWeights[] = [
  {
    name: 'inception-resnet-v1',
    into: 'teacher',
    source: WEIGHT_SOURCES['inception-resnet-v1'],
    left: ['mixed_7a', 'repeat_3', 'block8', 'last_linear', 'last_bn', 'logits'],
    files: [
      {
        name: '20180402-114759-vggface2.pt',
        from: FACENET,
        licence: `${FACENET_CODE}; trained on VGGFace2 (CC BY-SA by its authors)`,
      },
      {
        name: '20180408-102900-casia-webface.pt',
        from: FACENET,
        licence: `${FACENET_CODE}; trained on CASIA-WebFace (research use)`,
      },
    ],
    network: () => teacherNetwork(),
  },
  {
    name: 'densenet201',
    into: 'student',
    source: WEIGHT_SOURCES.densenet,
    left: ['classifier'],
    files: imageNet('densenet201-c1103571.pth'),
    network: student('densenet201'),
  },
  {
    name: 'resnet50',
    into: 'student',
    source: WEIGHT_SOURCES.resnet,
    left: ['fc'],
    files: imageNet('resnet50-0676ba61.pth'),
    network: student('resnet50'),
  },
  {
    name: 'mobilenet-v2',
    into: 'student',
    source: WEIGHT_SOURCES.mobilenet,
    left: ['classifier'],
    files: imageNet('mobilenet_v2-b0353104.pth'),
    network: student('mobilenetV2'),
  },
]

/** The published weights that a network starts from. */
export function publishedFor(specification: NetworkSpecification): PublishedWeights {
  const source =
    WEIGHT_SOURCES[
      specification.kind === 'teacher' ? 'inception-resnet-v1' : specification.backbone.kind
    ]
  return PUBLISHED_WEIGHTS.find(published => published.source === source)!
}

/** Where `npx deepfever models import` puts these weights, and training looks for them. */
export const weightsPath = ({ name }: PublishedWeights, folder: string = WEIGHTS_FOLDER): string =>
  join(folder, `${name}.safetensors`)

/** Which file to get, from whom, and the command that brings it in; for errors. */
export const remedyFor = ({ into, files: [file] }: PublishedWeights): string =>
  `get ${file.name} from ${file.from}, then: ` +
  `npx deepfever models import --weights=${file.name} --into=${into}`

/** The network whose names most of the tensors have; undefined where half of it is not there. */
export function recogniseWeights(weights: StateDict): PublishedWeights | undefined {
  const scored = PUBLISHED_WEIGHTS.map(published => {
    const { part, rename } = published.source
    const names = new Set([...weights.keys()].map(key => `${part}.${rename(key)}`))
    const places = describeNetwork(published.network()).parameters.filter(({ name }) =>
      name.startsWith(`${part}.`),
    )
    return { published, share: places.filter(({ name }) => names.has(name)).length / places.length }
  })
  const best = scored.reduce((a, b) => (b.share > a.share ? b : a))
  return best.share >= 0.5 ? best.published : undefined
}
