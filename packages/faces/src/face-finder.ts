import { mapOrdered } from '@deepfever/core'
import { openPool } from '@deepfever/runtime/onnx'
import { readMtcnn } from './mtcnn/models.ts'
import type { PictureAnswer, PictureJob } from './picture-work.ts'

/** Pictures read ahead a thread, so that a large one does not leave the others without work. */
const AHEAD = 4

/** An item with the faces of its picture; one without a job only keeps its place in the order. */
export interface Found<T, J> {
  readonly item: T
  readonly answer: J extends undefined ? undefined : PictureAnswer
}

/** A view goes to a thread with all the memory it lies in, which may be a whole shard. */
function alone({ file, ...wanted }: PictureJob): PictureJob {
  const isPart = typeof file !== 'string' && file.byteLength < file.buffer.byteLength
  return { ...wanted, file: isPart ? Uint8Array.prototype.slice.call(file) : file }
}

/**
 * Decodes every item's picture, finds and cuts its faces, in up to `workers` threads. Each picture
 * is judged alone, so neither order nor number of threads changes a result.
 *
 * @param detect false: nothing is looked for, the meant box is cut as it is
 */
export async function* findFaces<T, J extends PictureJob | undefined>(
  items: AsyncIterable<T>,
  jobOf: (item: T) => J,
  { workers, detect }: { workers: number; detect: boolean },
): AsyncGenerator<Found<T, J>> {
  const pool = openPool<PictureJob, PictureAnswer>(detect ? await readMtcnn() : {}, {
    workers,
    work: new URL('picture-work.ts', import.meta.url),
  })
  try {
    yield* mapOrdered(items, workers * AHEAD, async item => {
      const job = jobOf(item)
      const answer = job && (await pool.run(alone(job)))
      return { item, answer } as Found<T, J>
    })
  } finally {
    await pool.close()
  }
}
