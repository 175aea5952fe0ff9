import type { OnnxOutput } from './onnx-session.ts'
import type { ModelRun, OpenWork } from './onnx-pool.ts'

/** A job is one run of one of the models. */
export const openWork: OpenWork<ModelRun, Readonly<Record<string, OnnxOutput>>> =
  sessions =>
  ({ model, inputs }) =>
    sessions[model]!.run(inputs)
