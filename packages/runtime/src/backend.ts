import { availableParallelism } from 'node:os'

import { StageError } from '@deepfever/core'

import type { BACKENDS } from './choice.ts'
import { NATIVE_BACKEND, loadAddon, type NativeKernels } from './native/addon.ts'
import {
  addonPath,
  buildCommand,
  nativeMissing,
  readStamp,
  type NativeStamp,
} from './native/place.ts'
import { openPortable } from './portable.ts'
import { tf } from './tensorflow.ts'

/** Where tensors live and are computed. All backends share one copy of TensorFlow.js. */
export interface Backend {
  readonly name: 'native' | 'portable'
  readonly tf: typeof tf
  /** the native library's operations; only the native backend has them */
  readonly kernels?: NativeKernels
  /** file of the native addon, for threads that use the library too */
  readonly addon?: string
  /** one line for logs and manifests: library, version, device or instruction set */
  describe(): string
  /** one line for people: what the other backend would give, and the command that makes it */
  readonly advice: string
}

/** Which backend is wanted; `auto` when absent. */
export interface BackendOptions {
  readonly prefer?: (typeof BACKENDS)[number]
}

/**
 * Opens a backend and makes it the current one. A process has one current backend: opening
 * another moves every later computation there.
 *
 * @throws StageError when the backend is not built, does not open, or should be on a GPU and is not
 */
export async function openBackend({ prefer = 'auto' }: BackendOptions = {}): Promise<Backend> {
  if (prefer === 'portable') return portable()
  if (prefer === 'cuda') return native(requireStamp('cuda'))
  if (prefer === 'native') return native(requireStamp('cpu'))
  const stamp = readStamp('cuda') ?? readStamp('cpu')
  return stamp ? native(stamp) : portable()
}

function requireStamp(device: NativeStamp['device']): NativeStamp {
  const stamp = readStamp(device)
  if (stamp) return stamp
  throw new StageError(nativeMissing(device)!, { device })
}

async function native({ device, tensorflow }: NativeStamp): Promise<Backend> {
  if (tf.findBackend(NATIVE_BACKEND) === null) loadAddon(addonPath(device))
  await tf.setBackend(NATIVE_BACKEND)
  const kernels = tf.backend() as unknown as NativeKernels
  const gpu = kernels.binding.isUsingGpuDevice()
  // Sums are split by thread: another number of threads gives other last bits.
  const threads = Number(process.env.TF_NUM_INTRAOP_THREADS) || availableParallelism()
  if (device === 'cuda' && !gpu)
    throw new StageError(
      'the native backend for cuda found no GPU; look at nvidia-smi, or choose the CPU with --backend=native',
      { device },
    )
  return {
    name: 'native',
    tf,
    kernels,
    addon: addonPath(device),
    describe: () =>
      `native: TensorFlow ${tensorflow} under TensorFlow.js, ${gpu ? 'GPU:0' : `CPU, threads: ${threads}`}`,
    advice: 'the portable backend (--backend=portable) needs no native library and is slower',
  }
}

async function portable(): Promise<Backend> {
  await openPortable()
  const simd = await tf.env().getAsync('WASM_HAS_SIMD_SUPPORT')
  return {
    name: 'portable',
    tf,
    describe: () =>
      `portable: TensorFlow.js ${tf.version_core}, WebAssembly${simd ? ' SIMD' : ''}, 1 thread`,
    advice: `the native backend trains several times faster; build it with: ${buildCommand('cpu')}`,
  }
}
