export * from './tensorflow.ts'
export * from './backend.ts'
export { openFused, type FusedKernels } from './native/fused.ts'
export type { NativeKernels } from './native/addon.ts'
export {
  MOMENTUM,
  compileStep,
  type CompiledStep,
  type Program,
  type StepResult,
} from './compile/compile-step.ts'
export { nativeMissing } from './native/place.ts'
