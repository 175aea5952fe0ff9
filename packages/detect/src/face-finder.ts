import { mapOrdered } from '@deepfever/core'
import { openPool } from '@deepfever/runtime/onnx'
import { readMtcnn } from './mtcnn/models.ts'
import type { PictureAnswer, PictureJob } from './picture-work.ts'

/** Pictures read ahead a thread, so that a large one does not leave the others without work. */
const AHEAD = 4

/** An item with the faces of its picture. */
export interface Found<T> {
  readonly item: T
  readonly answer: PictureAnswer
}

/**
 * Decodes every item's picture, finds and cuts its faces, in up to `workers` threads. Each picture
 * is judged alone, so neither order nor number of threads changes a result.
 *
 * @param detect false: nothing is looked for, the meant box is cut as it is
 */
export async function* findFaces<T>(
  items: AsyncIterable<T>,
  jobOf: (item: T) => Promise<PictureJob> | PictureJob,
  { workers, detect }: { workers: number; detect: boolean },
): AsyncGenerator<Found<T>> {
  const pool = openPool<PictureJob, PictureAnswer>(detect ? await readMtcnn() : {}, {
    workers,
    work: new URL('picture-work.ts', import.meta.url),
  })
  try {
    yield* mapOrdered(items, workers * AHEAD, async item => ({
      item,
      answer: await pool.run(await jobOf(item)),
    }))
  } finally {
    await pool.close()
  }
}
