import { Worker } from 'node:worker_threads'
import { DeepFeverError, ShapeError, StageError, messageOf, type ErrorFields } from '@deepfever/core'
import type { OnnxInput, OnnxOutput, OnnxSession } from './onnx-session.ts'

/** What a thread does with a job; a module given as `work` exports one `openWork` that makes it. */
export type Work<Job, Answer> = (job: Job) => Promise<Answer>

/** Makes a thread's work of its sessions, one a model, each of one thread. */
export type OpenWork<Job, Answer> = (
  sessions: Readonly<Record<string, OnnxSession>>,
) => Work<Job, Answer>

/** One run of one model. */
export interface ModelRun {
  readonly model: string
  readonly inputs: Readonly<Record<string, OnnxInput>>
}

/** Threads that each hold the same models. */
export interface OnnxPool<Job, Answer> {
  /** Does a job on the next free thread; the job and its answer are copied between threads. */
  run(job: Job): Promise<Answer>
  /** Ends the threads; jobs under way are given up. */
  close(): Promise<void>
}

/** How many threads, and what they do. */
export interface PoolOptions {
  /** most threads; a result never depends on it */
  readonly workers: number
  /** jobs that must have come for each further thread, so that few jobs start few threads */
  readonly jobsAThread?: number
  /** a module with `openWork`; without one a job is a `ModelRun` */
  readonly work?: URL
}

/** The first message to a thread. */
export interface ThreadStart {
  readonly models: Readonly<Record<string, Uint8Array>>
  readonly work: string
}

/** What a thread answers to a job. */
export type ThreadAnswer =
  | { readonly answer: unknown }
  | { readonly error: { readonly name: string; readonly message: string; fields: ErrorFields } }

interface Waiting {
  readonly job: unknown
  readonly resolve: (answer: never) => void
  readonly reject: (error: Error) => void
}

/**
 * Opens threads that run ONNX models, started when jobs come. A session computes in the thread that
 * calls it, so several sessions of one thread never overlap; threads do.
 */
export function openPool(
  models: ThreadStart['models'],
  options: PoolOptions & { readonly work?: never },
): OnnxPool<ModelRun, Readonly<Record<string, OnnxOutput>>>
export function openPool<Job, Answer>(
  models: ThreadStart['models'],
  options: PoolOptions & { readonly work: URL },
): OnnxPool<Job, Answer>
export function openPool(
  models: ThreadStart['models'],
  { workers, jobsAThread = 1, work = new URL('model-run.ts', import.meta.url) }: PoolOptions,
): OnnxPool<unknown, unknown> {
  const threads: Worker[] = []
  const idle: Worker[] = []
  const queue: Waiting[] = []
  const busy = new Map<Worker, Waiting>()
  let jobs = 0
  let failure: Error | undefined

  const give = (thread: Worker) => {
    const next = queue.shift()
    if (next) {
      busy.set(thread, next)
      thread.postMessage(next.job)
    } else idle.push(thread)
  }
  const fail = (error: Error) => {
    failure ??= error
    for (const { reject } of [...busy.values(), ...queue.splice(0)]) reject(failure)
    busy.clear()
  }
  const start = () => {
    const thread = new Worker(new URL('onnx-thread.mjs', import.meta.url), { execArgv: [] })
    threads.push(thread)
    thread.on('message', (message: ThreadAnswer) => {
      const { resolve, reject } = busy.get(thread)!
      busy.delete(thread)
      give(thread)
      if ('error' in message) reject(toError(message.error))
      else resolve(message.answer as never)
    })
    thread.on('error', thrown => fail(threadError(messageOf(thrown))))
    thread.on('exit', code => fail(threadError(`it ended with status ${code}`)))
    thread.postMessage({ models, work: work.href } satisfies ThreadStart)
    give(thread)
  }

  return {
    run(job) {
      if (failure) return Promise.reject(failure)
      return new Promise((resolve, reject) => {
        queue.push({ job, resolve, reject })
        jobs++
        const free = idle.pop()
        if (free) give(free)
        else if (threads.length < workers && jobs > threads.length * jobsAThread) start()
      })
    },
    async close() {
      fail(new StageError('the pool of threads is closed'))
      await Promise.all(threads.map(thread => thread.terminate()))
    },
  }
}

const threadError = (reason: string) =>
  new StageError(`a thread of the pool failed: ${reason}; run again with fewer workers`, { reason })

function toError({ name, message, fields }: { name: string; message: string; fields: ErrorFields }) {
  return name === 'ShapeError' ? new ShapeError(message, fields) : new DeepFeverError(message, fields)
}
