// tap: test/compile.test.ts covers src/compile/compile-step.ts, src/compile/trace.ts, src/compile/graph.ts, src/compile/graph-folder.ts, src/compile/shape-rules.ts, src/protobuf.ts
import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'

import { uniforms } from '@deepfever/core'
import t from 'tap'

import { compileStep, nativeMissing, openBackend, tf } from '../src/index.ts'
import type { Program } from '../src/index.ts'
import { nativeFolder } from '../src/native/place.ts'

const skip = nativeMissing() ?? false
const open = () => openBackend({ prefer: 'native' })
const drawn = (name: string, count: number) => Float32Array.from(uniforms(name, count))

const INPUTS = { x: { shape: [4, 8], dtype: 'float32' } } as const
const SHAPES = { w: [8, 3] }
type Step = (x: tf.Tensor2D, w: tf.Tensor2D) => tf.Tensor

/** A program of one output from a function of x and w. */
const programOf = (f: Step): Program => ({
  inputs: INPUTS,
  step: ({ x }, { w }) => ({ outputs: { y: f(x as tf.Tensor2D, w as tf.Tensor2D) } }),
})

const descending: Program = {
  inputs: { ...INPUTS, rate: { shape: [], dtype: 'float32' } },
  step({ x, rate }, { w, mean }) {
    const loss = () => tf.mean(tf.square(tf.matMul(x as tf.Tensor2D, w as tf.Tensor2D)))
    const { value, grads } = tf.engine().gradients(loss, [w!])
    const now = tf.add(tf.mul(mean!, 0.9), tf.mul(tf.mean(x!, 0), 0.1))
    return {
      outputs: { loss: value },
      assign: { mean: now },
      descend: { gradients: { w: grads[0]! }, rate: rate!, momentum: 0.9 },
    }
  },
}

t.test('a graph computes what the function computes', { skip }, async t => {
  const backend = await open()
  const functions: Record<string, Step> = {
    product: (x, w) => tf.matMul(x, w),
    softmax: (x, w) => tf.softmax(tf.matMul(x, w)),
    logSoftmax: (x, w) => tf.logSoftmax(tf.matMul(x, w)),
    'reshape and transpose': (x, w) =>
      tf.transpose(tf.reshape(tf.matMul(x, w), [2, 2, 3]), [2, 0, 1]),
    'slice and concat': (x, w) =>
      tf.concat([tf.slice(x, [1, 2], [2, 3]), tf.transpose(w.slice([0, 0], [3, 2]))], 0),
    'unstack and stack': x => tf.stack(tf.unstack(x, 1).reverse()),
    'split and sum': x => tf.addN(tf.split(x, [4, 4], 1)),
    'pad, tile': x =>
      tf.tile(
        tf.pad(x, [
          [1, 2],
          [0, 1],
        ]),
        [1, 2],
      ),
    comparison: x => tf.where(tf.greater(x, 0), x, tf.mul(x, 0.1)),
    'one-hot of a range': () => tf.cast(tf.oneHot(tf.range(0, 6, 1, 'int32'), 6), 'float32'),
    reductions: x => tf.stack([tf.max(x), tf.min(x), tf.mean(x), tf.sum(tf.abs(x))]),
    gradient: (x, w) => tf.grad(v => tf.sum(tf.exp(tf.matMul(x, v as tf.Tensor2D))))(w),
    'relu6 and its gradient': x => tf.grad(v => tf.sum(tf.square(tf.relu6(tf.mul(v, 9)))))(x),
  }
  const x = drawn('x', 32)
  const w = drawn('w', 24)
  for (const [name, f] of Object.entries(functions)) {
    const step = compileStep(backend, { run: programOf(f) }, SHAPES)
    step.load({ w })
    const { y } = step.run('run', { x })
    step.close()
    const wanted = tf.tidy(() => f(tf.tensor2d(x, [4, 8]), tf.tensor2d(w, [8, 3])).dataSync())
    t.equal(y!.length, wanted.length, name)
    const worst = Math.max(...Array.from(wanted, (v, i) => Math.abs(v - y![i]!)))
    t.ok(worst < 1e-5, `${name}: ${worst} off`)
  }
  t.equal(tf.memory().numTensors, 0, 'no tensor is left behind')
})

t.test(
  "descent is Nesterov's, in torch's convention, and variables are replaced",
  { skip },
  async t => {
    const step = compileStep(await open(), { train: descending }, { ...SHAPES, mean: [8] })
    t.strictSame([...step.variables.keys()], ['w', 'mean', 'momentum/w'])
    const [x, w, mean] = [drawn('x', 32), drawn('w', 24), drawn('mean', 8)]
    // The arrays that were loaded stay as they were: training does not write into them.
    step.load({ w, mean, 'momentum/w': new Float32Array(24) })
    let [weights, velocity] = [Array.from(w), new Array<number>(24).fill(0)]
    for (const rate of [0.1, 0.02, 0.05]) {
      const gradient = weights.map((_, at) => {
        let sum = 0
        for (let row = 0; row < 4; row++) {
          let y = 0
          for (let k = 0; k < 8; k++) y += x[row * 8 + k]! * weights[k * 3 + (at % 3)]!
          sum += (2 / 12) * y * x[row * 8 + Math.floor(at / 3)]!
        }
        return sum
      })
      velocity = velocity.map((v, i) => 0.9 * v + gradient[i]!)
      weights = weights.map((p, i) => p - rate * (gradient[i]! + 0.9 * velocity[i]!))
      step.run('train', { x, rate: Float32Array.of(rate) })
    }
    const state = step.read()
    step.close()
    const worst = (found: Float32Array, wanted: readonly number[]) =>
      Math.max(...wanted.map((v, i) => Math.abs(v - found[i]!)))
    t.ok(worst(state.w!, weights) < 1e-6)
    t.ok(worst(state['momentum/w']!, velocity) < 1e-6)
    t.strictSame(w, drawn('w', 24))
    const column = (k: number) => [0, 1, 2, 3].reduce((sum, row) => sum + x[row * 8 + k]! / 4, 0)
    const means = Array.from(mean, (m, k) => 0.729 * m + 0.271 * column(k))
    t.ok(worst(state.mean!, means) < 1e-6)
  },
)

t.test('programs share variables; two steps do not', { skip }, async t => {
  const backend = await open()
  const programs = { train: descending, evaluate: programOf((x, w) => tf.matMul(x, w)) }
  const shapes = { ...SHAPES, mean: [8] }
  const [one, two] = [
    compileStep(backend, programs, shapes),
    compileStep(backend, programs, shapes),
  ]
  t.equal(one.digest, two.digest)
  t.ok(existsSync(join(nativeFolder(), 'graphs', one.digest, 'saved_model.pb')))
  const x = drawn('x', 32)
  const start = { w: drawn('w', 24), mean: new Float32Array(8), 'momentum/w': new Float32Array(24) }
  one.load(start)
  two.load(start)
  const before = one.run('evaluate', { x }).y
  one.run('train', { x, rate: Float32Array.of(0.5) })
  t.notSame(one.run('evaluate', { x }).y, before)
  t.strictSame(two.run('evaluate', { x }).y, before)
  one.close()
  two.close()
})

t.test('what a trace cannot hold is refused by name', { skip }, async t => {
  const backend = await open()
  const refuses = (f: Step, message: RegExp | string) =>
    t.throws(() => compileStep(backend, { run: programOf(f) }, SHAPES), { message })
  refuses(
    x => (tf.sum(x).dataSync()[0]! > 0 ? x : tf.neg(x)),
    /^compiled step: a traced tensor was read \(data, /,
  )
  refuses(
    x => tf.mul(x, tf.tensor2d(drawn('other', 32), [4, 8])),
    'compiled step: 32 numbers [4,8] made in JavaScript would be frozen into the graph; pass them as an input',
  )
  const [outside, used] = [tf.ones([8]), tf.ones([8])]
  tf.square(used).dispose()
  refuses(
    x => tf.mul(x, outside),
    /a tensor \[8\] made before the trace|reads a tensor made outside the trace/,
  )
  refuses(
    x => tf.mul(x, used),
    /^compiled step: Mul reads a tensor made outside the trace; pass it as an input/,
  )
  refuses(
    x => tf.mul(x, Math.random()),
    /^compiled step: two traces of it differ; a number that changes/,
  )
  refuses(x => tf.cumsum(x), /^compiled step: the operation Cumsum has no shape rule;/)
  tf.dispose([outside, used])
  t.equal(tf.memory().numTensors, 0, 'a refused trace leaves no tensor behind')
})

t.test('sums keep their order: the library may not gather them', { skip }, async t => {
  const sums = programOf(x => {
    const parts = tf.split(x, 8, 1)
    const gathered = tf.addN(parts.slice(0, 4))
    return parts.slice(4).reduce((total, part) => tf.add(total, part), gathered)
  })
  const step = compileStep(await open(), { sums }, SHAPES)
  const file = join(nativeFolder(), 'graphs', step.digest, 'saved_model.pb')
  const graph = (await readFile(file)).toString('latin1')
  t.equal(graph.split('_grappler_ArithmeticOptimizer_AddOpsRewriteStage').length - 1, 7)
  t.notMatch(graph, 'AddN')
  step.close()
})

t.test('a step is compiled for one size', { skip }, async t => {
  const step = compileStep(await open(), { run: programOf((x, w) => tf.matMul(x, w)) }, SHAPES)
  step.load({ w: drawn('w', 24) })
  t.throws(() => step.run('run', { x: new Float32Array(16) }), {
    name: 'ShapeError',
    message: 'compiled step: x has 16 values, expected 32; a step is compiled for one batch size',
  })
  t.throws(() => step.load({}), { message: /^compiled step: w has no values, expected 24/ })
  step.close()
})

t.test('many steps leave no tensors behind', { skip }, async t => {
  const backend = await open()
  const step = compileStep(backend, { train: descending }, { ...SHAPES, mean: [8] })
  step.load({ w: drawn('w', 24), mean: new Float32Array(8), 'momentum/w': new Float32Array(24) })
  const inputs = { x: drawn('x', 32), rate: Float32Array.of(0.01) }
  step.run('train', inputs)
  const count = backend.kernels!.binding.getNumOfTensors()
  for (let i = 0; i < 100; i++) step.run('train', inputs)
  t.equal(backend.kernels!.binding.getNumOfTensors(), count)
  step.close()
})

t.test('the portable backend says that it does not compile', async t => {
  const portable = { ...(await openBackend({ prefer: 'portable' })) }
  t.throws(() => compileStep(portable, {}, {}), {
    name: 'StageError',
    message: 'a step is compiled on the native backend only, found portable',
  })
})
