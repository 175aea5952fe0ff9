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
  /** a module with an `OpenWork` named `openWork`; without one a job is a `ModelRun` */
  readonly work?: URL
}

/**
 * How long jobs must have been coming for each thread that is started, about what a start costs;
 * until the first is up, the calling thread does them. Few small jobs start no thread.
 */
const START_MS = 500

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
  { workers, work }: PoolOptions,
): OnnxPool<unknown, unknown> {
  const start: LaneStart = { models, work: work?.href }
  const threads: Worker[] = []
  const idle: Worker[] = []
  const queue: Waiting[] = []
  const busy = new Map<Worker, Waiting>()
  let here: Promise<Lane> | undefined
  let isBusyHere = false
  let isThreadUp = false
  let firstJobMs: number | undefined
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
      isThreadUp = true
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

  const workHere = async () => {
    isBusyHere = true
    const lane = await (here ??= openLane(start))
    for (let next; !isThreadUp && (next = queue.shift());)
      await lane.run(next.job).then(next.resolve, next.reject)
    isBusyHere = false
  }

  return {
    run(job) {
      if (failure) return Promise.reject(failure)
      return new Promise((resolve, reject) => {
        queue.push({ job, resolve, reject })
        const now = performance.now()
        firstJobMs ??= now
        const free = idle.pop()
        if (free) return giveNext(free)
        const isWorth = now - firstJobMs > START_MS * (threads.length + 1)
        if (isWorth && threads.length < workers) startThread()
        if (!isThreadUp && !isBusyHere) workHere().catch(thrown => fail(thrown as Error))
      })
    },
    async close() {
      fail(new StageError('the pool of threads is closed'))
      await Promise.all(threads.map(thread => thread.terminate()))
      await here?.then(lane => lane.close()).catch(() => {})
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
