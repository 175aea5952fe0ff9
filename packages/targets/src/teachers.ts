import { mirror, type Picture } from '@deepfever/media'
import { toOnnx, type Checkpoint } from '@deepfever/models'
import { openPool } from '@deepfever/runtime/onnx'
import { layoutOf, putBlock, type TargetBlock } from './target-layout.ts'

const FORM = {
  input: 'pixels',
  type: 'uint8',
  layout: 'nhwc',
  outputs: ['fec', 'affectnet'],
} as const

/** Target rows of some faces, by view. */
export interface Views {
  readonly plain: readonly Float32Array[]
  readonly flipped: readonly Float32Array[]
}

/** Open teachers whose answers are joined to one target vector. */
export interface Teachers {
  readonly blocks: readonly TargetBlock[]
  /** of a target vector */
  readonly width: number
  /**
   * What the teachers say of some faces and of their mirror images; the runs go side by side.
   *
   * @param cropsAt the faces as square pictures of a side
   */
  predict(cropsAt: (side: number) => Promise<readonly Picture[]>): Promise<Views>
  close(): Promise<void>
}

/**
 * Opens teachers in up to `workers` threads, each with all of them.
 *
 * @throws StageError when there is no teacher, or one lacks a head
 */
export function openTeachers(teachers: readonly Checkpoint[], workers: number): Teachers {
  const blocks = layoutOf(teachers)
  const width = blocks.reduce((sum, block) => sum + block.width, 0)
  const models = teachers.map(
    ({ digest, network, state }) => [digest, toOnnx(network, state, FORM)] as const,
  )
  const pool = openPool(Object.fromEntries(models), { workers })

  async function predictView(model: string, crops: readonly Picture[], rows: Float32Array[]) {
    const side = crops[0]!.width
    const values = new Uint8Array(crops.length * side * side * 3)
    crops.forEach(({ data }, i) => values.set(data, i * side * side * 3))
    const inputs = { image: { shape: [crops.length, side, side, 3], values } }
    const outputs = await pool.run({ model, inputs })
    for (const block of blocks)
      if (block.teacher === model) putBlock(rows, block, outputs[block.head]!.values)
  }

  return {
    blocks,
    width,
    async predict(cropsAt) {
      const views = { plain: [] as Float32Array[], flipped: [] as Float32Array[] }
      await Promise.all(
        teachers.map(async ({ digest, specification }) => {
          const crops = await cropsAt(specification.size)
          for (const view of [views.plain, views.flipped])
            while (view.length < crops.length) view.push(new Float32Array(width))
          await Promise.all([
            predictView(digest, crops, views.plain),
            predictView(digest, crops.map(mirror), views.flipped),
          ])
        }),
      )
      return views
    },
    close: () => pool.close(),
  }
}
