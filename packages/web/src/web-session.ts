import { ShapeError } from '@deepfever/core'
import type { OnnxOutput, OnnxSession } from '@deepfever/runtime/onnx'
import { InferenceSession, Tensor, env } from 'onnxruntime-web/wasm'
import wasm from 'onnxruntime-web/ort-wasm-simd-threaded.wasm?url'

/** A page should not stand still for longer. */
const BREATH_MS = 40

/** Opens an ONNX model in this page on WebAssembly, one thread; the same interface as in Node. */
export async function openWebSession<Output extends string>(
  bytes: Uint8Array,
): Promise<OnnxSession<Output>> {
  env.wasm.numThreads = 1
  env.wasm.wasmPaths = { wasm: new URL(wasm, location.href).href }
  const session = await InferenceSession.create(bytes, {
    executionProviders: ['wasm'],
    graphOptimizationLevel: 'all',
    logSeverityLevel: 3,
  })
  let breathMs = performance.now()
  return {
    inputs: session.inputNames,
    outputs: session.outputNames,
    async run(inputs) {
      const feeds = Object.entries(inputs).map(([name, { shape, values }]) => {
        const wanted = shape.reduce((product, n) => product * n, 1)
        if (values.length !== wanted)
          throw new ShapeError(`${name} has ${values.length} values, wanted ${wanted}`)
        const type = values instanceof Float32Array ? 'float32' : 'uint8'
        return [name, new Tensor(type, values, shape)] as const
      })
      // A run holds the page's only thread: between two of them it may draw and hear its visitor.
      if (performance.now() - breathMs > BREATH_MS) {
        await new Promise(resolve => setTimeout(resolve))
        breathMs = performance.now()
      }
      const results = await session.run(Object.fromEntries(feeds))
      const outputs = Object.entries(results).map(
        ([name, { dims, data }]) => [name, { shape: dims, values: data as Float32Array }] as const,
      )
      return Object.fromEntries(outputs) as Record<Output, OnnxOutput>
    },
    close: () => session.release(),
  }
}
