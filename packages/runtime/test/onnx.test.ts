// tap: test/onnx.test.ts covers src/onnx-model.ts src/onnx-session.ts
import t from 'tap'

import { openSession, writeOnnxModel } from '../src/onnx.ts'
import type { OnnxModel } from '../src/onnx.ts'

/** y = 0.5 * leaky(x) @ w, z = x + shift; any number of rows. */
const model: OnnxModel = {
  name: 'small',
  inputs: [{ name: 'x', type: 'float32', shape: ['rows', 2] }],
  outputs: [
    { name: 'y', type: 'float32', shape: ['rows', 3] },
    { name: 'z', type: 'float32', shape: ['rows', 2] },
  ],
  constants: [
    { name: 'w', shape: [2, 3], values: Float32Array.of(1, 2, 3, 4, 5, 6) },
    { name: 'shift', shape: [1, 2], values: Float32Array.of(10, 20) },
    { name: 'halves', shape: [], values: Float32Array.of(0.5) },
  ],
  nodes: [
    { op: 'LeakyRelu', inputs: ['x'], outputs: ['a'], attributes: { alpha: { float: 0.25 } } },
    { op: 'MatMul', inputs: ['a', 'w'], outputs: ['b'] },
    { op: 'Mul', inputs: ['b', 'halves'], outputs: ['y'] },
    { op: 'Add', inputs: ['x', 'shift'], outputs: ['z'] },
  ],
  metadata: { contract: '{}' },
}

const float32 = (shape: number[], ...values: number[]) => ({
  shape,
  values: Float32Array.from(values),
})

t.test('a written model runs, with any number of rows', async t => {
  const session = await openSession<'y' | 'z'>(writeOnnxModel(model), { threads: 1 })
  t.same([session.inputs, session.outputs], [['x'], ['y', 'z']])
  const one = await session.run({ x: float32([1, 2], 2, -4) })
  t.same(one.y, float32([1, 3], -1, -0.5, 0))
  t.same(one.z, float32([1, 2], 12, 16))
  const two = await session.run({ x: float32([2, 2], 2, -4, 1, 1) })
  t.same(two.y, float32([2, 3], -1, -0.5, 0, 2.5, 3.5, 4.5))
  await session.close()
})

t.test('whole numbers, lists, text, bytes and negative numbers are written', async t => {
  const bytes = writeOnnxModel({
    name: 'attributes',
    inputs: [{ name: 'x', type: 'uint8', shape: [1, 2, 3] }],
    outputs: [{ name: 'y', type: 'float32', shape: [3, 1, 4] }],
    constants: [{ name: 'pads', shape: [6], values: BigInt64Array.of(0n, 0n, 0n, 0n, 0n, 1n) }],
    nodes: [
      { op: 'Cast', inputs: ['x'], outputs: ['a'], attributes: { to: 1 } },
      { op: 'Transpose', inputs: ['a'], outputs: ['b'], attributes: { perm: [2, 0, 1] } },
      { op: 'Softmax', inputs: ['b'], outputs: ['c'], attributes: { axis: -3 } },
      { op: 'Concat', inputs: ['c', 'b'], outputs: ['d'], attributes: { axis: -1 } },
      { op: 'Pad', inputs: ['b', 'pads'], outputs: ['e'], attributes: { mode: 'edge' } },
      { op: 'Sub', inputs: ['d', 'd'], outputs: ['f'] },
      { op: 'ReduceSum', inputs: ['e'], outputs: ['g'] },
      { op: 'Add', inputs: ['f', 'g'], outputs: ['y'] },
    ],
  })
  const session = await openSession<'y'>(bytes, { threads: 1 })
  const { y } = await session.run({
    x: { shape: [1, 2, 3], values: Uint8Array.of(1, 2, 3, 4, 5, 250) },
  })
  // rows (1, 4), (2, 5), (3, 250), each with its last value repeated
  t.same(y.values, new Float32Array(12).fill(1 + 4 + 4 + 2 + 5 + 5 + 3 + 250 + 250))
  await session.close()
})

t.test('a kilobyte of name and constant is counted in bytes', async t => {
  const name = 'ä'.repeat(500)
  const session = await openSession(
    writeOnnxModel({
      name: 'long',
      inputs: [{ name, type: 'float32', shape: [300] }],
      outputs: [{ name: 'y', type: 'float32', shape: [300] }],
      constants: [{ name: 'c', shape: [300], values: new Float32Array(300).fill(2) }],
      nodes: [{ op: 'Mul', inputs: [name, 'c'], outputs: ['y'] }],
    }),
    { threads: 1 },
  )
  const { y } = await session.run({ [name]: float32([300], ...Array(300).keys()) })
  t.equal(y!.values[299], 598)
  await session.close()
})

t.test('what is no model is refused with the runtime’s reason', async t => {
  await t.rejects(openSession(Uint8Array.of(1, 2, 3), { threads: 1 }), {
    name: 'DeepFeverError',
    message: /^onnx: 3 bytes cannot be opened as a model: ./,
  })
})

t.test('an input that does not fit is refused with name and shape', async t => {
  const session = await openSession(writeOnnxModel(model), { threads: 1 })
  await t.rejects(session.run({ x: float32([2, 2], 1) }), {
    name: 'ShapeError',
    message: 'onnx: x has 1 values, expected 4 for [2,2]',
  })
  await t.rejects(session.run({ x: float32([1, 3], 1, 2, 3) }), {
    name: 'ShapeError',
    message: /^onnx: the model refused x \[1,3\]: ./,
  })
  await session.close()
})
