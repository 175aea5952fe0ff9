// Apart from index.ts, so that what only infers does not load TensorFlow.js.
export * from './onnx-model.ts'
export { exposeInput } from './onnx-inner-output.ts'
export * from './onnx-session.ts'
export type { ModelRun, OpenWork, Sessions } from './onnx-lane.ts'
export * from './onnx-pool.ts'
