import { openSession, type OnnxInput, type OnnxOutput, type OnnxSession } from './onnx-session.ts'

/** Open models by name. */
export type Sessions = Readonly<Record<string, OnnxSession>>

/** Makes of open models what is done with a job; jobs of a lane never overlap. */
export type OpenWork<Job, Answer> = (sessions: Sessions) => (job: Job) => Promise<Answer>

/** A job when no other work is given: one run of one model. */
export interface ModelRun {
  readonly model: string
  readonly inputs: Readonly<Record<string, OnnxInput>>
}

/** Models as files, and the address of a module whose `openWork` uses them. */
export interface LaneStart {
  readonly models: Readonly<Record<string, Uint8Array>>
  readonly work?: string | undefined
}

/** One thread's worth of work: models with one thread each, one job after the other. */
export interface Lane {
  run(job: unknown): Promise<unknown>
  close(): Promise<void>
}

const runModel: OpenWork<ModelRun, Readonly<Record<string, OnnxOutput>>> =
  sessions =>
  ({ model, inputs }) =>
    sessions[model]!.run(inputs)

/** Opens the models in this thread. */
export async function openLane({ models, work }: LaneStart): Promise<Lane> {
  const sessions: Record<string, OnnxSession> = {}
  for (const [name, bytes] of Object.entries(models))
    sessions[name] = await openSession(bytes, { threads: 1 })
  const { openWork } = work
    ? ((await import(work)) as { openWork: OpenWork<unknown, unknown> })
    : { openWork: runModel as OpenWork<unknown, unknown> }
  const perform = openWork(sessions)
  let last: Promise<unknown> = Promise.resolve()
  return {
    run(job) {
      const answer = last.then(() => perform(job))
      last = answer.catch(() => {})
      return answer
    },
    async close() {
      await last
      await Promise.all(Object.values(sessions).map(session => session.close()))
    },
  }
}
