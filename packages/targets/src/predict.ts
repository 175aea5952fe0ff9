import { commonOptions, defineStage, integer, mapOrdered, path } from '@deepfever/core'
import {
  faces,
  inputOf,
  openArtifact,
  targets,
  writeArtifact,
  type Artifact,
  type Face,
} from '@deepfever/formats'
import { decodeCrop } from '@deepfever/media'
import { openCheckpoint } from '@deepfever/models'
import { openTeachers } from './teachers.ts'

/**
 * Faces a block. Matrix kernels may round differently for different batch sizes, so blocks are
 * fixed runs of rows of one artifact and never depend on workers.
 */
const BLOCK = 32

/** One block of faces, and its name in the journal. */
interface Block {
  readonly item: string
  readonly faces: readonly Face[]
}

async function* blocksOf(artifact: Artifact): AsyncGenerator<Block> {
  let index = 0
  const toBlock = (rows: readonly Face[]) => ({
    item: `${artifact.digest}/${index++}`,
    faces: rows,
  })
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
      ...artifacts.map(artifact => inputOf('faces', artifact)),
      ...teachers.map(({ digest, terms }) => ({ role: 'teacher', digest, terms })),
    ]
    const { out, force } = options
    return writeArtifact({ ...work, kind: 'targets', inputs, out, force }, log, async write => {
      const open = openTeachers(teachers, options.workers)
      write.describe({ blocks: open.blocks, width: open.width })
      const total = artifacts.reduce((sum, a) => sum + (a.manifest.tables.faces?.rows ?? 0), 0)
      const bar = log.progress('targets', total)
      async function* waiting() {
        for (const artifact of artifacts)
          for await (const block of blocksOf(artifact)) {
            if (!write.isDone(block.item)) yield block
            else bar.advance(block.faces.length)
          }
      }
      try {
        const predicted = mapOrdered(waiting(), options.workers, async block => ({
          ...block,
          views: await open.predict(side =>
            Promise.all(block.faces.map(({ crop }) => decodeCrop(crop, side))),
          ),
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
        await open.close()
      }
      bar.done()
    })
  },
})
