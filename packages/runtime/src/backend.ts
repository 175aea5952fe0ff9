import { openPortable } from './portable.ts'
import { tf } from './tensorflow.ts'

/** Where tensors live and are computed. All backends share one copy of TensorFlow.js. */
export interface Backend {
  readonly name: 'portable'
  readonly tf: typeof tf
  /** one line for logs and manifests: library, version, instruction set */
  describe(): string
}

/** `prefer`: the backend wanted; without it the fastest that opens. */
export interface BackendOptions {
  readonly prefer?: 'portable'
}

/**
 * Opens a backend and makes it the current one. A process has one current backend: opening
 * another moves every later computation there.
 *
 * @throws StageError when the backend does not open
 */
export async function openBackend({ prefer = 'portable' }: BackendOptions = {}): Promise<Backend> {
  await openPortable()
  const simd = await tf.env().getAsync('WASM_HAS_SIMD_SUPPORT')
  return {
    name: prefer,
    tf,
    describe: () =>
      `portable: TensorFlow.js ${tf.version_core}, WebAssembly${simd ? ' SIMD' : ''}, 1 thread`,
  }
}
