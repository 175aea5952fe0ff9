import { once } from 'node:events'
import type { MessagePort } from 'node:worker_threads'
import { DeepFeverError, messageOf } from '@deepfever/core'
import type { OpenWork, ThreadAnswer, ThreadStart } from './onnx-pool.ts'
import { openSession, type OnnxSession } from './onnx-session.ts'

/** The life of a pool's thread: opens the models of the first message, then answers job by job. */
export async function serve(port: MessagePort): Promise<void> {
  const waiting: unknown[] = []
  const early = (job: unknown) => void waiting.push(job)
  const [{ models, work }] = (await once(port, 'message')) as [ThreadStart]
  port.on('message', early)
  const sessions: Record<string, OnnxSession> = {}
  for (const [name, bytes] of Object.entries(models))
    sessions[name] = await openSession(bytes, { threads: 1 })
  const { openWork } = (await import(work)) as { openWork: OpenWork<unknown, unknown> }
  const run = openWork(sessions)
  const answer = async (job: unknown) => port.postMessage(await answerOf(run(job)))
  port.off('message', early)
  port.on('message', (job: unknown) => void answer(job))
  for (const job of waiting) await answer(job)
}

const answerOf = (running: Promise<unknown>): Promise<ThreadAnswer> =>
  running.then(
    answer => ({ answer }),
    (thrown: unknown) => ({
      error: {
        name: thrown instanceof Error ? thrown.name : '',
        message: messageOf(thrown),
        fields: thrown instanceof DeepFeverError ? thrown.fields : {},
      },
    }),
  )
