export * from './tensorflow.ts'
export * from './backend.ts'
export { openFused, type FusedKernels } from './native/fused.ts'
export type { NativeKernels } from './native/addon.ts'
