export * from './tensorflow.ts'
export * from './backend.ts'
