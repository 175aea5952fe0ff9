export * from './tensorflow.ts'
export * from './backend.ts'
export * from './onnx-model.ts'
export * from './onnx-session.ts'
