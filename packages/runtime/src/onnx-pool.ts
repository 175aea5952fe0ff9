import { Worker } from 'node:worker_threads'
import { DeepFeverError, ShapeError, StageError, messageOf } from '@deepfever/core'
import { openLane, type Lane, type LaneStart, type ModelRun } from './onnx-lane.ts'
import type { OnnxOutput } from './onnx-session.ts'
import type { ThreadAnswer } from './onnx-thread.ts'

/** Threads that each hold the same models. */
export interface OnnxPool<Job, Answer> {
  /** Does a job on the next free thread; job and answer are copied between threads. */
  run(job: Job): Promise<Answer>
  /** Ends the threads; jobs under way fail. */
  close(): Promise<void>
}

/** How many threads, and what they do. */
export interface PoolOptions {
  /** most threads; no result depends on it */
  readonly workers: number
  /** jobs that justify a thread: so many are done by the calling one before the first starts */
  readonly jobsAThread: number
  /** a module with an `OpenWork` named `openWork`; without one a job is a `ModelRun` */
  readonly work?: URL
}

interface Waiting {
  readonly job: unknown
  readonly resolve: (answer: unknown) => void
  readonly reject: (error: Error) => void
}

/**
 * Opens ONNX models for many jobs. A session computes in the thread that calls it, so sessions of
 * one thread never overlap; those of several threads do.
 */
export function openPool(
  models: LaneStart['models'],
  options: PoolOptions & { readonly work?: never },
): OnnxPool<ModelRun, Readonly<Record<string, OnnxOutput>>>
export function openPool<Job, Answer>(
  models: LaneStart['models'],
  options: PoolOptions & { readonly work: URL },
): OnnxPool<Job, Answer>
export function openPool(
  models: LaneStart['models'],
  { workers, jobsAThread, work }: PoolOptions,
): OnnxPool<unknown, unknown> {
  const start: LaneStart = { models, work: work?.href }
  const threads: Worker[] = []
  const idle: Worker[] = []
  const queue: Waiting[] = []
  const busy = new Map<Worker, Waiting>()
  let here: Promise<Lane> | undefined
  let jobs = 0
  let failure: Error | undefined

  const giveNext = (thread: Worker) => {
    const next = queue.shift()
    if (!next) return void idle.push(thread)
    busy.set(thread, next)
    thread.postMessage(next.job)
  }
  const fail = (error: Error) => {
    failure ??= error
    for (const { reject } of [...busy.values(), ...queue.splice(0)]) reject(failure)
    busy.clear()
  }
  const startThread = () => {
    const thread = new Worker(new URL('onnx-thread.mjs', import.meta.url), { execArgv: [] })
    threads.push(thread)
    thread.on('message', (message: ThreadAnswer) => {
      const waiting = busy.get(thread)
      busy.delete(thread)
      giveNext(thread)
      if ('error' in message) waiting?.reject(toError(message.error))
      else waiting?.resolve(message.answer)
    })
    thread.on('error', thrown => fail(threadError(messageOf(thrown))))
    thread.on('exit', code => fail(threadError(`it ended with status ${code}`)))
    thread.postMessage(start)
    giveNext(thread)
  }

  return {
    run(job) {
      if (failure) return Promise.reject(failure)
      if (++jobs <= jobsAThread) return (here ??= openLane(start)).then(lane => lane.run(job))
      return new Promise((resolve, reject) => {
        queue.push({ job, resolve, reject })
        const free = idle.pop()
        if (free) giveNext(free)
        else if (threads.length < Math.min(workers, jobs / jobsAThread - 1)) startThread()
      })
    },
    async close() {
      fail(new StageError('the pool of threads is closed'))
      await Promise.all(threads.map(thread => thread.terminate()))
      await here?.then(lane => lane.close())
    },
  }
}

const threadError = (reason: string) =>
  new StageError(`a thread of the pool failed: ${reason}; run again with fewer workers`, { reason })

function toError({ name, message, fields }: Extract<ThreadAnswer, { error: unknown }>['error']) {
  return name === 'ShapeError'
    ? new ShapeError(message, fields)
    : new DeepFeverError(message, fields)
}
