// Apart from the room's index.ts, so that what only infers does not load TensorFlow.js.
export * from './forward.ts'
export * from './kernels.ts'
export * from './parameters.ts'
export * from './native-kernels.ts'
