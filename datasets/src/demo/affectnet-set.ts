import { mapOrdered, openRandom } from '@deepfever/core'
import { encodeNpy } from '@deepfever/formats'
import type { DemoFile } from './demo-file.ts'
import { expressionNames } from './expression.ts'
import { photograph, placeFace } from './scene.ts'

/** Tight and upright, as a detector cuts faces: with or without detection the crops look alike. */
const PICTURE = { width: 124, height: 160 }
const WIDTH = 4

interface Item {
  readonly folder: string
  readonly id: number
  readonly label: number
}

/**
 * Drawn faces in the layout of AffectNet's newer release: `train_set` and `val_set` with
 * `images/<id>.jpg` and `annotations/<id>_exp.npy`, 0-d text as in the release. The files of
 * valence, arousal and landmarks are left out: nothing reads them yet, and files cost time. All eight classes are equally frequent.
 */
export async function* drawAffectNet(
  seed: number,
  { train, val }: { readonly train: number; readonly val: number },
  noise: Int8Array,
): AsyncGenerator<DemoFile> {
  const classes = expressionNames.length
  const items = [
    ...Array.from({ length: train }, (_, i) => ({
      folder: 'train_set',
      id: i,
      label: i % classes,
    })),
    ...Array.from({ length: val }, (_, i) => ({
      ...{ folder: 'val_set', id: train + i, label: i % classes },
    })),
  ]
  for await (const files of mapOrdered(items, WIDTH, item => drawItem(seed, item, noise)))
    yield* files
}

async function drawItem(
  seed: number,
  { folder, id, label }: Item,
  noise: Int8Array,
): Promise<DemoFile[]> {
  const random = openRandom(`${seed}/affectnet/${folder}/${id}`)
  const faces = [placeFace(label, PICTURE, random)]
  const picture = { ...PICTURE, faces, style: 'paint' as const }
  const bytes = await photograph(picture, noise, random)
  return [
    { path: `affectnet/${folder}/images/${id}.jpg`, bytes },
    {
      path: `affectnet/${folder}/annotations/${id}_exp.npy`,
      bytes: encodeNpy({ shape: [], values: [String(label)] }),
    },
  ]
}
