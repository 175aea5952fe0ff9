import { openRandom } from '@deepfever/core'
import type { LabelledFeatures } from '../src/softmax-loss.ts'

/** Labelled features around one centre a class, the centres the same for every `name`. */
export function drawBlobs(
  name: string,
  rows: number,
  width: number,
  classes: number,
): LabelledFeatures {
  const centre = openRandom('blobs/centres')
  const centres = Float64Array.from({ length: classes * width }, () => centre.normal())
  const random = openRandom(`blobs/${name}`)
  const labels = Int32Array.from({ length: rows }, (_, row) => row % classes)
  const features = new Float32Array(rows * width)
  for (let i = 0; i < features.length; i++) {
    const label = labels[Math.floor(i / width)]!
    features[i] = centres[label * width + (i % width)]! + 1.6 * random.normal()
  }
  return { features, labels, width }
}
