import { commonOptions, defineStage, integer, mapOrdered, path } from '@deepfever/core'
import {
  faces,
  openArtifact,
  targets,
  writeArtifact,
  type Artifact,
  type Face,
} from '@deepfever/formats'
import { decodeCrop, mirror, type Picture } from '@deepfever/media'
import { openCheckpoint, toOnnx, type Checkpoint } from '@deepfever/models'
import { openPool } from '@deepfever/runtime'
import { layoutOf, putBlock, type TargetBlock } from './target-layout.ts'

/**
 * Faces a block. Matrix kernels may round differently for different batch sizes, so blocks are
 * fixed runs of rows of one artifact and never depend on workers.
 */
const BLOCK = 32

/** Runs of a teacher that justify a thread of their own: its start costs half a second. */
const RUNS_A_THREAD = 8

/** One block of faces, and its name in the journal. */
interface Block {
  readonly item: string
  readonly faces: readonly Face[]
}

/** Teachers on RGB pixels, channels last, by digest; one vector a head, row by row. */
function openTeachers(teachers: readonly Checkpoint[], workers: number) {
  const form = {
    input: 'pixels',
    type: 'uint8',
    layout: 'nhwc',
    outputs: ['fec', 'affectnet'],
  } as const
  const models = teachers.map(
    ({ digest, network, state }) => [digest, toOnnx(network, state, form)] as const,
  )
  return openPool(Object.fromEntries(models), { workers, jobsAThread: RUNS_A_THREAD })
}

async function* blocksOf(artifact: Artifact): AsyncGenerator<Block> {
  let index = 0
  const toBlock = (rows: readonly Face[]) => ({ item: `${artifact.digest}/${index++}`, faces: rows })
  let block: Face[] = []
  for await (const face of artifact.rows(faces)) {
    block.push(face)
    if (block.length < BLOCK) continue
    yield toBlock(block)
    block = []
  }
  if (block.length) yield toBlock(block)
}

/** Teacher outputs of every face, plain and mirrored, precomputed once. */
export const predict = defineStage({
  name: 'targets predict',
  summary: 'what the teachers say of every face, plain and mirrored, as Parquet',
  behaviour: 1,
  options: {
    ...commonOptions,
    faces: path('faces artifacts, separated by commas'),
    teachers: path('teacher checkpoints, separated by commas; their order is that of the blocks'),
    out: path('where the targets artifact goes'),
    workers: integer({
      help: 'threads, each with all teachers',
      role: 'execution',
      standard: 2,
      min: 1,
      max: 64,
    }),
  },
  async run(options, { log, work, checkpoint }) {
    const artifacts = await Promise.all(
      options.faces.split(',').map(place => openArtifact(place, 'faces')),
    )
    const teachers = await Promise.all(
      options.teachers.split(',').map(place => openCheckpoint(place, 'teacher')),
    )
    const inputs = [
      ...artifacts.map(({ digest }) => ({ role: 'faces', digest })),
      ...teachers.map(({ digest }) => ({ role: 'teacher', digest })),
    ]
    const { out, force } = options
    return writeArtifact({ ...work, kind: 'targets', inputs, out, force }, log, async write => {
      const layout = layoutOf(teachers)
      const width = layout.reduce((sum, block) => sum + block.width, 0)
      write.describe({ blocks: layout, width })
      const total = artifacts.reduce((sum, a) => sum + (a.manifest.tables.faces?.rows ?? 0), 0)
      const bar = log.progress('targets', total)
      async function* waiting() {
        for (const artifact of artifacts)
          for await (const block of blocksOf(artifact)) {
            if (!write.isDone(block.item)) yield block
            else bar.advance(block.faces.length)
          }
      }
      const pool = openTeachers(teachers, options.workers)
      try {
        const predicted = mapOrdered(waiting(), options.workers, async block => ({
          ...block,
          views: await targetsOf(block.faces, teachers, pool, layout, width),
        }))
        for await (const { item, faces: block, views } of predicted) {
          checkpoint()
          for (const [row, { faceId }] of block.entries())
            for (const [view, rows] of Object.entries(views))
              await write.append(targets, { faceId, view, target: rows[row]! })
          write.accept(block.length)
          await write.done(item, block.length)
          bar.advance(block.length)
        }
      } finally {
        await pool.close()
      }
      bar.done()
    })
  },
})

/** Both views of a block through every teacher; the runs of a block go side by side. */
async function targetsOf(
  block: readonly Face[],
  teachers: readonly Checkpoint[],
  pool: ReturnType<typeof openTeachers>,
  layout: readonly TargetBlock[],
  width: number,
) {
  const empty = () => block.map(() => new Float32Array(width))
  const rows = { plain: empty(), flipped: empty() }
  const predictView = async ({ digest }: Checkpoint, view: keyof typeof rows, all: Picture[]) => {
    const size = all[0]!.width
    const values = new Uint8Array(all.length * size * size * 3)
    all.forEach((picture, i) => values.set(picture.data, i * size * size * 3))
    const inputs = { image: { shape: [all.length, size, size, 3], values } }
    const outputs = await pool.run({ model: digest, inputs })
    for (const part of layout)
      if (part.teacher === digest) putBlock(rows[view], part, outputs[part.head]!.values)
  }
  const predictBoth = async (teacher: Checkpoint) => {
    const { size } = teacher.specification
    const plain = await Promise.all(block.map(face => decodeCrop(face.crop, size)))
    await Promise.all([
      predictView(teacher, 'plain', plain),
      predictView(teacher, 'flipped', plain.map(mirror)),
    ])
  }
  await Promise.all(teachers.map(predictBoth))
  return rows
}
