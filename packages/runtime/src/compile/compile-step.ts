import { createHash } from 'node:crypto'

import { ShapeError, StageError, UsageError } from '@deepfever/core'

import type { Backend } from '../backend.ts'
import type { NativeKernels, TensorValues } from '../native/addon.ts'
import { tf } from '../tensorflow.ts'
import { DTYPES, attribute, createGraph, type Dtype, type Graph, type Signature } from './graph.ts'
import { keepGraph } from './graph-folder.ts'
import { dtypeOf, trace, type NamedTensors, type Trace } from './trace.ts'

/** Size and element type of an input. */
interface TensorSpec {
  readonly shape: readonly number[]
  readonly dtype: Dtype
}

/** What one call of a step gives. */
export interface StepResult {
  /** what `run` answers */
  readonly outputs: NamedTensors
  /** variables that get a new value */
  readonly assign?: NamedTensors
  /** variables that move down their gradients, by Nesterov's momentum in torch's convention */
  readonly descend?: {
    readonly gradients: NamedTensors
    readonly rate: tf.Tensor
    readonly momentum: number
  }
}

/** An ordinary TensorFlow.js function of inputs and variables; all that changes is an input. */
export interface Program {
  readonly inputs: Readonly<Record<string, TensorSpec>>
  step(inputs: NamedTensors, variables: NamedTensors): StepResult
}

/** Float32 values by variable name. */
type VariableValues = Readonly<Record<string, Float32Array>>

/** Programs over one set of variables, each run as one graph. */
export interface CompiledStep {
  /** sha256 of the graph */
  readonly digest: string
  /** sizes of all variables; `momentum/NAME` are those that `descend` keeps */
  readonly variables: ReadonlyMap<string, readonly number[]>
  /**
   * Runs a program to its end; it blocks the thread.
   *
   * @throws ShapeError when an input is missing or has another number of values
   */
  run(program: string, inputs: Readonly<Record<string, TensorValues>>): Record<string, TensorValues>
  /** Sets every variable. */
  load(values: VariableValues): void
  /** Reads every variable. */
  read(): Record<string, Float32Array>
  close(): void
}

/** Prefix of the variables that `descend` keeps. */
export const MOMENTUM = 'momentum/'

/**
 * Traces `programs` into one TensorFlow graph and opens it. Nothing is computed: a trace knows
 * shapes only. TensorFlow.js differentiates; the graph holds the backward pass, the optimizer and
 * the variables. Graphs are kept in the native folder under the digest of what they contain.
 *
 * @param variables size of each variable, float32
 * @throws UsageError when a step reads a value, or uses one that should have been an input
 */
export function compileStep(
  { kernels, name }: Backend,
  programs: Readonly<Record<string, Program>>,
  variables: Readonly<Record<string, readonly number[]>>,
): CompiledStep {
  if (kernels === undefined)
    throw new StageError(`a step is compiled on the native backend only, found ${name}`, { name })
  const first = traceAll(kernels, programs, variables)
  const second = traceAll(kernels, programs, variables)
  if (first.digest !== second.digest)
    throw new UsageError(
      'compiled step: two traces of it differ; a number that changes, such as a random one, was made inside: pass it as an input',
    )
  return openGraph(kernels, first, keepGraph(first.bytes, first.digest))
}

interface Traced {
  readonly graph: Graph
  readonly signatures: Readonly<Record<string, Signature>>
  readonly bytes: Uint8Array
  readonly digest: string
}

function traceAll(
  kernels: NativeKernels,
  programs: Readonly<Record<string, Program>>,
  variables: Readonly<Record<string, readonly number[]>>,
): Traced {
  const graph = createGraph()
  const signatures: Record<string, Signature> = {}
  for (const [name, program] of Object.entries(programs))
    trace(kernels, graph, traced =>
      tf.tidy(() => {
        signatures[name] = signatureOf(traced, graph, name, program, variables)
      }),
    )
  Object.assign(signatures, stateSignatures(graph))
  const bytes = graph.toSavedModel(signatures)
  return { graph, signatures, bytes, digest: createHash('sha256').update(bytes).digest('hex') }
}

function signatureOf(
  traced: Trace,
  graph: Graph,
  name: string,
  { inputs, step }: Program,
  variables: Readonly<Record<string, readonly number[]>>,
): Signature {
  const feeds: Record<string, Signature['inputs'][string]> = {}
  const given: Record<string, tf.Tensor> = {}
  for (const [key, { shape, dtype }] of Object.entries(inputs)) {
    const form = { dtype: attribute.type(DTYPES[dtype]), shape: attribute.shape(shape) }
    const ref = graph.node('Placeholder', [], form, `${name}/${key}`)
    feeds[key] = { ref, dtype: DTYPES[dtype], shape }
    given[key] = traced.source(feeds[key])
  }
  const held: Record<string, tf.Tensor> = {}
  for (const [key, shape] of Object.entries(variables)) {
    const { read } = graph.variable(key, shape)
    held[key] = traced.source({ ref: read, dtype: DTYPES.float32, shape })
  }
  const result = step(given, held)
  const updates = updatesOf(traced, graph, result)
  const outputs: Record<string, Signature['outputs'][string]> = {}
  for (const [key, tensor] of Object.entries(result.outputs)) {
    const { ref, shape } = traced.portOf(tensor)
    const type = { T: attribute.type(dtypeOf(tensor)) }
    // An output is there only when every variable has been updated.
    const after = [ref, ...updates.map(update => `^${update}`)]
    const node = graph.node('Identity', after, type, `${name}/output/${key}`)
    outputs[key] = { ref: node, dtype: dtypeOf(tensor), shape }
  }
  // Some are kept against the tidy by whoever made them.
  tf.dispose([result.outputs, result.assign, result.descend?.gradients] as tf.TensorContainer)
  return { inputs: feeds, outputs }
}

/** Adds what changes variables; answers the nodes. */
function updatesOf(traced: Trace, graph: Graph, { assign = {}, descend }: StepResult): string[] {
  const type = attribute.type(DTYPES.float32)
  const updates = Object.entries(assign).map(([key, tensor]) => {
    const { handle } = graph.variable(key, tensor.shape)
    return graph.node('AssignVariableOp', [handle, traced.portOf(tensor).ref], { dtype: type })
  })
  if (descend === undefined) return updates
  const rate = traced.portOf(descend.rate).ref
  const momentum = graph.constant(DTYPES.float32, [], Float32Array.of(descend.momentum))
  // v = momentum v + g, p -= rate (g + momentum v): torch's, also when the rate changes.
  // ResourceApplyKerasMomentum folds the rate into v.
  const settings = { use_nesterov: attribute.bool(true), use_locking: attribute.bool(false) }
  for (const [key, gradient] of Object.entries(descend.gradients)) {
    const { handle } = graph.variable(key, gradient.shape)
    const slot = graph.variable(`${MOMENTUM}${key}`, gradient.shape)
    const inputs = [handle, slot.handle, rate, traced.portOf(gradient).ref, momentum]
    updates.push(graph.node('ResourceApplyMomentum', inputs, { T: type, ...settings }))
  }
  return updates
}

/** The signatures that set and read all variables. */
function stateSignatures(graph: Graph): Record<string, Signature> {
  const dtype = DTYPES.float32
  const all = [...graph.variables]
  const stored = all.map(([, { assign }]) => `^${assign}`)
  const value = attribute.tensor(dtype, [], Float32Array.of(0))
  const done = graph.node('Const', stored, { dtype: attribute.type(dtype), value }, 'loaded')
  const ports = (pick: 'feed' | 'read') =>
    Object.fromEntries(
      all.map(([name, variable]) => [name, { ref: variable[pick], dtype, shape: variable.shape }]),
    )
  return {
    load: { inputs: ports('feed'), outputs: { loaded: { ref: done, dtype, shape: [] } } },
    read: { inputs: {}, outputs: ports('read') },
  }
}

function openGraph(
  { binding }: NativeKernels,
  { graph, signatures, digest }: Traced,
  folder: string,
): CompiledStep {
  const model = binding.loadSavedModel(folder, 'serve')
  const run: CompiledStep['run'] = (program, given) => {
    const { inputs, outputs } = signatures[program]!
    for (const [name, { shape }] of Object.entries(inputs))
      requireValues(name, given[name], tf.util.sizeFromShape([...shape]))
    const ids = Object.entries(inputs).map(([name, { shape, dtype }]) =>
      binding.createTensor(shape, dtype, given[name]!),
    )
    const refs = (ports: Signature['inputs']) =>
      Object.values(ports)
        .map(({ ref }) => `${ref}:0`)
        .join(',')
    try {
      const found = binding.runSavedModel(model, ids, refs(inputs), refs(outputs))
      const read = Object.keys(outputs).map((name, i) => {
        const { id } = found[i]!
        const values = binding.tensorDataSync(id)
        binding.deleteTensor(id)
        return [name, values] as const
      })
      return Object.fromEntries(read)
    } finally {
      for (const id of ids) binding.deleteTensor(id)
    }
  }
  return {
    digest,
    variables: new Map([...graph.variables].map(([name, { shape }]) => [name, shape])),
    run,
    load: values => void run('load', values),
    read: () => run('read', {}) as Record<string, Float32Array>,
    close: () => binding.deleteSavedModel(model),
  }
}

function requireValues(name: string, values: TensorValues | undefined, size: number): void {
  if (values?.length === size) return
  throw new ShapeError(
    `compiled step: ${name} has ${values?.length ?? 'no'} values, expected ${size}; a step is compiled for one batch size`,
    { name, found: values?.length, wanted: size },
  )
}
