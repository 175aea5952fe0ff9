import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'

import { StageError, messageOf } from '@deepfever/core'
import { setWasmPaths } from '@tensorflow/tfjs-backend-wasm'

import { filterGradient, inputGradient } from './portable-convolution.ts'
import { depthwiseFilterGradient, depthwiseInputGradient } from './portable-depthwise.ts'
import { matrixProduct } from './portable-matmul.ts'
import { maxPoolGradient } from './portable-pool.ts'
import { slice, split } from './portable-slice.ts'
import { columnReduction } from './portable-sum.ts'
import { tf } from './tensorflow.ts'

/**
 * Opens the WebAssembly backend with the kernels that training needs: filter gradients, which
 * the package lacks, and faster input gradients, matrix products, sums and slices, and a correct
 * max-pool gradient. Opening it again
 * does nothing.
 *
 * @throws StageError when the package's binary does not load
 */
export async function openPortable(): Promise<void> {
  if (tf.findBackend('wasm') === null) {
    const binaries = dirname(
      createRequire(import.meta.url).resolve('@tensorflow/tfjs-backend-wasm'),
    )
    setWasmPaths(join(binaries, '/'))
  }
  if (!(await started()))
    throw new StageError(
      'portable backend: the WebAssembly binary of @tensorflow/tfjs-backend-wasm did not load; reinstall with: npm ci',
      { backend: 'wasm' },
    )
  // The one kernel that only this function registers says whether it has run.
  if (tf.getKernel(filterGradient.kernelName, 'wasm') === undefined) registerKernels()
}

async function started(): Promise<boolean> {
  try {
    return await tf.setBackend('wasm')
  } catch (cause) {
    throw new StageError(`portable backend: ${messageOf(cause)}`, { backend: 'wasm' }, cause)
  }
}

function registerKernels(): void {
  const stock = (name: string) => tf.getKernel(name, 'wasm')
  const kernels = [
    filterGradient,
    inputGradient,
    depthwiseFilterGradient,
    depthwiseInputGradient,
    maxPoolGradient,
    matrixProduct(stock(tf.BatchMatMul)),
    slice(stock(tf.Slice)),
    split(stock(tf.SplitV)),
    columnReduction(stock(tf.Sum)),
    columnReduction(stock(tf.Mean)),
  ]
  for (const kernel of kernels) {
    // Registering over a kernel prints a warning.
    if (stock(kernel.kernelName) !== undefined) tf.unregisterKernel(kernel.kernelName, 'wasm')
    tf.registerKernel(kernel)
  }
}
