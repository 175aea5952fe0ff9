import { StageError, commonOptions, defineStage, integer, mapOrdered, path } from '@deepfever/core'
import {
  faces,
  openArtifact,
  targets,
  writeArtifact,
  type Artifact,
  type Face,
} from '@deepfever/formats'
import { decodePicture, mirror } from '@deepfever/media'
import { openCheckpoint, toOnnx, type Checkpoint } from '@deepfever/models'
import { openSession } from '@deepfever/runtime'
import { layoutOf, putBlock, type TargetBlock } from './target-layout.ts'

/**
 * Faces a block. Matrix kernels may round differently for different batch sizes, so blocks are
 * fixed runs of rows of one artifact and never depend on workers.
 */
const BLOCK = 32

/** Evaluates one teacher on RGB pixels, channels last; one vector a head, row by row. */
async function openTeacher(teacher: Checkpoint, threads: number) {
  const bytes = toOnnx(teacher.network, teacher.state, {
    input: 'pixels',
    type: 'uint8',
    layout: 'nhwc',
    outputs: ['fec', 'affectnet'],
  })
  return openSession<'fec' | 'affectnet'>(bytes, { threads })
}

async function* blocksOf(artifact: Artifact): AsyncGenerator<Face[]> {
  let block: Face[] = []
  for await (const face of artifact.rows(faces)) {
    block.push(face)
    if (block.length < BLOCK) continue
    yield block
    block = []
  }
  if (block.length) yield block
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
      help: 'blocks under way at once',
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
      const sessions = await Promise.all(teachers.map(teacher => openTeacher(teacher, 1)))
      const total = artifacts.reduce((sum, a) => sum + (a.manifest.tables.faces?.rows ?? 0), 0)
      const bar = log.progress('targets', total)
      for (const artifact of artifacts) {
        const predicted = mapOrdered(blocksOf(artifact), options.workers, async block => {
          const views = await targetsOf(block, teachers, sessions, layout, width)
          return { block, views }
        })
        let index = 0
        for await (const { block, views } of predicted) {
          checkpoint()
          const item = `${artifact.digest}/${index++}`
          if (write.isDone(item)) continue
          for (const [row, { faceId }] of block.entries())
            for (const [view, rows] of Object.entries(views))
              await write.append(targets, { faceId, view, target: rows[row]! })
          write.accept(block.length)
          await write.done(item, block.length)
          bar.advance(block.length)
        }
      }
      bar.done()
      await Promise.all(sessions.map(session => session.close()))
    })
  },
})

async function targetsOf(
  block: readonly Face[],
  teachers: readonly Checkpoint[],
  sessions: readonly Awaited<ReturnType<typeof openTeacher>>[],
  layout: readonly TargetBlock[],
  width: number,
) {
  const plain = await Promise.all(block.map(face => decodePicture(face.crop)))
  const views = { plain, flipped: plain.map(mirror) }
  const empty = () => block.map(() => new Float32Array(width))
  const rows = { plain: empty(), flipped: empty() }
  for (const [t, teacher] of teachers.entries()) {
    const size = teacher.specification.size
    for (const view of ['plain', 'flipped'] as const) {
      const values = new Uint8Array(block.length * size * size * 3)
      views[view].forEach((picture, i) => {
        if (picture.width !== size || picture.height !== size)
          throw new StageError(
            `${block[i]!.faceId}: the crop is ${picture.width} x ${picture.height}, the teacher ` +
              `${teacher.path} wants ${size} x ${size}`,
            { faceId: block[i]!.faceId, found: picture.width, wanted: size },
          )
        values.set(picture.data, i * size * size * 3)
      })
      const shape = [block.length, size, size, 3]
      const outputs = await sessions[t]!.run({ image: { shape, values } })
      for (const part of layout)
        if (part.teacher === teacher.digest) putBlock(rows[view], part, outputs[part.head].values)
    }
  }
  return rows
}
