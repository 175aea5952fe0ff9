export * from './onnx-model.ts'
export * from './onnx-session.ts'
