import { openSession } from '@deepfever/runtime/onnx'
import { detectorOf } from './detector.ts'
import type { Detect, DetectorOptions } from './detector.ts'
import { readMtcnn } from './models.ts'

/** An open detector; one picture at a time. */
export interface Detector {
  readonly detect: Detect
  close(): Promise<void>
}

/**
 * Opens a detector in this thread.
 *
 * @param options.threads threads of one run
 * @throws UsageError for a setting outside its range
 */
export async function openDetector({
  threads = 1,
  ...options
}: DetectorOptions & { threads?: number } = {}): Promise<Detector> {
  const models = await readMtcnn()
  const open = <Output extends string>(bytes: Uint8Array) => openSession<Output>(bytes, { threads })
  const sessions = {
    pnet: await open<'cells'>(models.pnet),
    rnet: await open<'regression' | 'probability'>(models.rnet),
    onet: await open<'regression' | 'probability' | 'landmarks'>(models.onet),
  }
  const close = async () => {
    await Promise.all(Object.values(sessions).map(session => session.close()))
  }
  return { detect: detectorOf(sessions, options), close }
}
