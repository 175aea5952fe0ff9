// tap: test/ops.test.ts covers src/tfjs.ts src/tfjs-kernels.ts src/tfjs-parameters.ts src/onnx.ts src/geometry.ts src/shapes.ts
import { openBackend, tf } from '@deepfever/runtime'
import { openSession } from '@deepfever/runtime/onnx'
import t from 'tap'

import { describeNetwork, formulaWeights, toOnnx, uniformTensor } from '../src/index.ts'
import { forward, loadParameters } from '../src/tfjs/index.ts'
import type { Network, Ops, Shape } from '../src/index.ts'

/** One way to use an operation, on an image of `input`. */
interface Case {
  readonly title: string
  readonly input: Shape
  run<T>(ops: Ops<T>, x: T): T
}

const MAP = [4, 7, 6]

/** Every operation but the two that compute nothing: one that is missing here does not compile. */
const CASES: Record<
  Exclude<keyof Ops<unknown>, 'shape' | 'tap' | 'denseInput'>,
  readonly Case[]
> = {
  normalise: [
    {
      title: 'a channel at a time',
      input: [3, 4, 5],
      run: (ops, x) => ops.normalise(x, { mean: [1, 2, 3], std: [2, 4, 8] }),
    },
  ],
  conv2d: [
    conv('3x3, padded', MAP, { out: 5, kernel: 3, padding: 1 }),
    conv('3x3, valid, bias', MAP, { out: 5, kernel: 3, bias: true }),
    conv('3x3, stride 2, padded', MAP, { out: 5, kernel: 3, stride: 2, padding: 1 }),
    conv('7x7, stride 2, padded', [3, 15, 14], { out: 2, kernel: 7, stride: 2, padding: 3 }),
    conv('1x1', MAP, { out: 3, kernel: 1 }),
    conv('1x1, stride 2', MAP, { out: 3, kernel: 1, stride: 2 }),
    conv('1x7, padded sideways', MAP, { out: 3, kernel: [1, 7], padding: [0, 3] }),
    conv('7x1, padded above', MAP, { out: 3, kernel: [7, 1], padding: [3, 0] }),
    conv('2x2, padded on two sides', MAP, { out: 3, kernel: 2, padding: [1, 0, 0, 1] }),
    conv('depthwise', MAP, { out: 4, kernel: 3, padding: 1, groups: 4 }),
    conv('depthwise, stride 2', MAP, { out: 4, kernel: 3, stride: 2, padding: 1, groups: 4 }),
  ],
  batchNorm: [
    { title: 'alone', input: MAP, run: (ops, x) => ops.batchNorm('norm', x, { eps: 1e-3 }) },
    {
      title: 'after a convolution with bias',
      input: MAP,
      run: (ops, x) =>
        ops.batchNorm('norm', ops.conv2d('conv', x, { out: 3, kernel: 2, bias: true }), {
          eps: 1e-5,
        }),
    },
    {
      title: 'after a depthwise convolution',
      input: MAP,
      run: (ops, x) =>
        ops.batchNorm('norm', ops.conv2d('conv', x, { out: 4, kernel: 3, groups: 4 }), {
          eps: 1e-5,
        }),
    },
  ],
  relu: [{ title: 'of a map', input: MAP, run: (ops, x) => ops.relu(x) }],
  relu6: [
    {
      title: 'of values on both sides of 6',
      input: MAP,
      run: (ops, x) => ops.relu6(ops.scale(x, 9)),
    },
  ],
  prelu: [
    { title: 'of a map', input: MAP, run: (ops, x) => ops.prelu('prelu', x) },
    {
      title: 'of a vector',
      input: MAP,
      run: (ops, x) => ops.prelu('prelu', ops.globalAveragePool(x)),
    },
  ],
  maxPool: [
    pool('2, stride 2, ceil', MAP, { kernel: 2, stride: 2, ceil: true }),
    pool('3, stride 2, ceil, a hanging window', [2, 6, 8], { kernel: 3, stride: 2, ceil: true }),
    pool('3, stride 2, ceil, an exact fit', [2, 7, 9], { kernel: 3, stride: 2, ceil: true }),
    pool('3, stride 2', MAP, { kernel: 3, stride: 2 }),
    pool('3, stride 2, padded', MAP, { kernel: 3, stride: 2, padding: 1 }),
  ],
  avgPool: [
    {
      title: 'odd sizes floored',
      input: [2, 7, 5],
      run: (ops, x) => ops.avgPool(x, { kernel: 2, stride: 2 }),
    },
  ],
  globalAveragePool: [{ title: 'of a map', input: MAP, run: (ops, x) => ops.globalAveragePool(x) }],
  concat: [
    { title: 'of maps', input: MAP, run: (ops, x) => ops.concat([x, ops.relu(x), x]) },
    {
      title: 'of vectors',
      input: MAP,
      run: (ops, x) => ops.concat([ops.globalAveragePool(x), ops.globalAveragePool(ops.relu(x))]),
    },
  ],
  add: [{ title: 'of maps', input: MAP, run: (ops, x) => ops.add(x, ops.relu(x)) }],
  scale: [
    { title: 'of a map', input: MAP, run: (ops, x) => ops.scale(x, 0.17) },
    {
      title: 'of a convolution',
      input: MAP,
      run: (ops, x) => ops.scale(ops.conv2d('conv', x, { out: 2, kernel: 1, bias: true }), 0.17),
    },
  ],
  dense: [
    {
      title: 'with bias',
      input: MAP,
      run: (ops, x) => ops.dense('dense', ops.globalAveragePool(x), { out: 3 }),
    },
    {
      title: 'without bias',
      input: MAP,
      run: (ops, x) => ops.dense('dense', ops.flatten(x), { out: 3, bias: false }),
    },
  ],
  softmax: [
    { title: 'of a map', input: MAP, run: (ops, x) => ops.softmax(x) },
    {
      title: 'of a vector',
      input: MAP,
      run: (ops, x) => ops.softmax(ops.globalAveragePool(x)),
    },
  ],
  flatten: [{ title: 'w, h, channels', input: [2, 3, 4], run: (ops, x) => ops.flatten(x) }],
  dropout: [
    {
      title: 'does nothing here',
      input: MAP,
      run: (ops, x) => ops.dropout(ops.globalAveragePool(x), { rate: 0.5 }),
    },
  ],
}

function conv(title: string, input: Shape, options: Parameters<Ops<unknown>['conv2d']>[2]): Case {
  return { title, input, run: (ops, x) => ops.conv2d('conv', x, options) }
}

function pool(title: string, input: Shape, options: Parameters<Ops<unknown>['maxPool']>[1]): Case {
  return { title, input, run: (ops, x) => ops.maxPool(x, options) }
}

const BATCH = 2

const networkOf = (op: string, { title, input, run }: Case): Network<'y'> => ({
  name: `${op}: ${title}`,
  input,
  normalisation: { mean: [], std: [] },
  outputs: ['y'],
  build: (ops, x) => ({ y: run(ops, x) }),
})

const imageOf = ({ input }: Network) => uniformTensor('image', [BATCH, ...input])

function toNhwc({ input }: Network, values: Float32Array): tf.Tensor4D {
  const [c, h, w] = input as [number, number, number]
  return tf.tidy(() => tf.transpose(tf.tensor4d(values, [BATCH, c, h, w]), [0, 2, 3, 1]))
}

async function runOnnx(network: Network<'y'>) {
  const bytes = toOnnx(network, formulaWeights(network, ''))
  const session = await openSession<'y'>(bytes, { threads: 1 })
  const shape = [BATCH, ...network.input]
  const { y } = await session.run({ image: { shape, values: imageOf(network) } })
  await session.close()
  return y
}

async function runTfjs(network: Network<'y'>) {
  const parameters = loadParameters(network, formulaWeights(network, ''))
  const y = tf.tidy(() => {
    const found = forward(network, toNhwc(network, imageOf(network)), parameters).outputs.y
    return found.rank === 4 ? tf.transpose(found, [0, 3, 1, 2]) : found
  })
  return { shape: y.shape, values: await y.data() }
}

/**
 * The gradient along a fixed direction, for the image and each trainable parameter, by the engine
 * and by a central difference.
 */
function gradientPairs(network: Network<'y'>, training: boolean) {
  return tf.tidy(() => {
    const loaded = loadParameters(network, formulaWeights(network, ''))
    const { parameters, outputs } = describeNetwork(network)
    const names = parameters.filter(p => p.trainable).map(p => p.name)
    const weights = tf.tensor1d(uniformTensor('towards', [BATCH, ...outputs['y']!]))
    const towards = tf.reshape(weights, [BATCH, -1])
    const loss = (image: tf.Tensor, ...values: tf.Tensor[]): tf.Scalar => {
      const given = new Map([...loaded, ...names.map((name, i) => [name, values[i]!] as const)])
      const { y } = forward(network, image as tf.Tensor4D, given, { training }).outputs
      return tf.sum(tf.mul(tf.reshape(y, [BATCH, -1]), towards))
    }
    const at = [toNhwc(network, imageOf(network)), ...names.map(name => loaded.get(name)!)]
    const gradients = tf.grads(loss)(at)
    return ['image', ...names].map((name, i) => {
      const value = at[i]!
      const direction = tf.tensor(uniformTensor(`along ${name}`, value.shape), value.shape)
      const moved = (by: number) =>
        loss(...(at.map((v, j) => (j === i ? tf.add(v, tf.mul(direction, by)) : v)) as [tf.Tensor]))
      const step = 1e-3
      const wanted = (moved(step).dataSync()[0]! - moved(-step).dataSync()[0]!) / (2 * step)
      const found = tf.sum(tf.mul(gradients[i]!, direction)).dataSync()[0]!
      return { name, found, wanted }
    })
  })
}

t.before(async () => openBackend({ prefer: 'portable' }))

for (const [op, cases] of Object.entries(CASES)) {
  t.test(`${op} is the same on every engine`, async t => {
    for (const it of cases) {
      const network = networkOf(op, it)
      const wanted = await runOnnx(network)
      t.same(wanted.shape, [BATCH, ...describeNetwork(network).outputs['y']!], `${it.title}: shape`)
      for (const engine of ['cpu', 'wasm']) {
        await tf.setBackend(engine)
        const found = await runTfjs(network)
        t.same(found.shape, wanted.shape, `${it.title}: shape on ${engine}`)
        const apart = wanted.values.map((value, i) => Math.abs(value - found.values[i]!))
        t.ok(Math.max(...apart) < 1e-5, `${it.title}: ${engine} is ${Math.max(...apart)} off`)
      }
    }
  })

  t.test(`${op} has the gradient of a finite difference`, async t => {
    for (const engine of ['cpu', 'wasm']) {
      await tf.setBackend(engine)
      for (const it of cases)
        for (const training of op === 'batchNorm' ? [false, true] : [false]) {
          const network = networkOf(op, it)
          const title = `${it.title}${training ? ', training' : ''} on ${engine}`
          for (const { name, found, wanted } of gradientPairs(network, training))
            t.ok(
              Math.abs(found - wanted) < 0.01 * Math.abs(wanted) + 0.01,
              `${title}: along ${name} ${found}, difference ${wanted}`,
            )
        }
    }
  })
}
