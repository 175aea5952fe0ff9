import { mapOrdered, openRandom } from '@deepfever/core'
import type { DemoFile } from './demo-file.ts'
import { photograph, placeFace } from './scene.ts'

/** RAF-DB's aligned pictures are 100 x 100. */
const PICTURE = { width: 100, height: 100 }
const WIDTH = 4

/** AffectNet's label of each RAF-DB label 1 to 7; contempt is not in RAF-DB. */
const drawnLabels = [3, 4, 5, 1, 2, 6, 0]

/**
 * Drawn faces in the layout of RAF-DB basic: `EmoLabel/list_patition_label.txt` and
 * `Image/aligned/<name>_aligned.jpg`. Inked, not painted: another domain than the AffectNet set.
 * The list ends without a newline, as the real one does.
 */
export async function* drawRafDb(
  seed: number,
  { train, test }: { readonly train: number; readonly test: number },
  noise: Int8Array,
): AsyncGenerator<DemoFile> {
  const names = [
    ...Array.from({ length: train }, (_, i) => `train_${String(i + 1).padStart(5, '0')}`),
    ...Array.from({ length: test }, (_, i) => `test_${String(i + 1).padStart(4, '0')}`),
  ]
  const items = names.map((name, i) => ({ name, label: (i % drawnLabels.length) + 1 }))
  yield {
    path: 'rafdb/EmoLabel/list_patition_label.txt',
    bytes: items.map(({ name, label }) => `${name}.jpg ${label}`).join('\n'),
  }
  yield* mapOrdered(items, WIDTH, async ({ name, label }) => {
    const random = openRandom(`${seed}/rafdb/${name}`)
    const faces = [placeFace(drawnLabels[label - 1]!, PICTURE, random)]
    const picture = { ...PICTURE, faces, style: 'ink' as const }
    const bytes = await photograph(picture, noise, random)
    return { path: `rafdb/Image/aligned/${name}_aligned.jpg`, bytes }
  })
}
