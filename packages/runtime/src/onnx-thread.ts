import type { MessagePort } from 'node:worker_threads'
import { DeepFeverError, messageOf, type ErrorFields } from '@deepfever/core'
import { openLane, type Lane, type LaneStart } from './onnx-lane.ts'

/** What a thread answers to a job. */
export type ThreadAnswer =
  | { readonly answer: unknown }
  | { readonly error: { readonly name: string; readonly message: string; fields: ErrorFields } }

/** The life of a pool's thread: the first message opens a lane, every other is a job. */
export function serve(port: MessagePort): void {
  let lane: Promise<Lane> | undefined
  port.on('message', (message: unknown) => {
    if (lane) void answerOf(lane, message).then(answer => port.postMessage(answer))
    else lane = openLane(message as LaneStart)
  })
}

const answerOf = (lane: Promise<Lane>, job: unknown): Promise<ThreadAnswer> =>
  lane
    .then(({ run }) => run(job))
    .then(
      answer => ({ answer }),
      (thrown: unknown) => ({
        error: {
          name: thrown instanceof Error ? thrown.name : '',
          message: messageOf(thrown),
          fields: thrown instanceof DeepFeverError ? thrown.fields : {},
        },
      }),
    )
