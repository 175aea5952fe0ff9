import { DeepFeverError, ShapeError, messageOf } from '@deepfever/core'
import { InferenceSession, Tensor } from 'onnxruntime-node'

/** A tensor that goes into a session: row-major, batch first. */
export interface OnnxInput {
  readonly shape: readonly number[]
  readonly values: Float32Array | Uint8Array
}

/** A float32 tensor that comes out of a session. */
export interface OnnxOutput {
  readonly shape: readonly number[]
  readonly values: Float32Array
}

/** An open ONNX model. One run at a time uses all its threads. */
export interface OnnxSession<Output extends string = string> {
  readonly inputs: readonly string[]
  readonly outputs: readonly string[]
  /** @throws ShapeError when an input's values do not fill its shape, or the model refuses it */
  run(inputs: Readonly<Record<string, OnnxInput>>): Promise<Readonly<Record<Output, OnnxOutput>>>
  close(): Promise<void>
}

/**
 * Opens an ONNX model on the CPU.
 *
 * @param bytes the file
 * @param options.threads threads of one run; results may differ in the last bits between counts
 * @throws DeepFeverError when the bytes are not a model that the runtime can run
 */
export async function openSession<Output extends string = string>(
  bytes: Uint8Array,
  { threads }: { threads: number },
): Promise<OnnxSession<Output>> {
  const session = await createSession(bytes, threads)
  return {
    inputs: session.inputNames,
    outputs: session.outputNames,
    async run(inputs) {
      const feeds = Object.entries(inputs).map(([name, input]) => [name, toTensor(name, input)])
      const results = await runSession(session, Object.fromEntries(feeds) as Record<string, Tensor>)
      const outputs: Record<string, OnnxOutput> = {}
      for (const [name, tensor] of Object.entries(results))
        outputs[name] = { shape: tensor.dims, values: tensor.data as Float32Array }
      return outputs as Record<Output, OnnxOutput>
    },
    close: () => session.release(),
  }
}

async function createSession(bytes: Uint8Array, threads: number): Promise<InferenceSession> {
  try {
    return await InferenceSession.create(bytes, {
      executionProviders: ['cpu'],
      intraOpNumThreads: threads,
      interOpNumThreads: 1,
      executionMode: 'sequential',
      graphOptimizationLevel: 'all',
      logSeverityLevel: 3,
    })
  } catch (error) {
    throw new DeepFeverError(
      `onnx: ${bytes.length} bytes cannot be opened as a model: ${messageOf(error)}`,
      { sizeBytes: bytes.length },
      error,
    )
  }
}

async function runSession(session: InferenceSession, feeds: Record<string, Tensor>) {
  try {
    return await session.run(feeds)
  } catch (error) {
    const found = Object.entries(feeds).map(([name, { dims }]) => `${name} [${dims}]`)
    throw new ShapeError(
      `onnx: the model refused ${found.join(', ')}: ${messageOf(error)}`,
      { found },
      error,
    )
  }
}

function toTensor(name: string, { shape, values }: OnnxInput): Tensor {
  const wanted = shape.reduce((product, n) => product * n, 1)
  if (values.length !== wanted)
    throw new ShapeError(
      `onnx: ${name} has ${values.length} values, expected ${wanted} for [${shape}]`,
      { name, found: values.length, wanted },
    )
  return values instanceof Float32Array
    ? new Tensor('float32', values, shape)
    : new Tensor('uint8', values, shape)
}
