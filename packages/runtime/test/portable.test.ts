// tap: test/portable.test.ts covers src/portable.ts, src/portable-convolution.ts, src/portable-matmul.ts, src/portable-slice.ts, src/portable-pool.ts, src/portable-sum.ts, src/portable-depthwise.ts, src/backend.ts
import { uniforms } from '@deepfever/core'
import '@tensorflow/tfjs-backend-cpu'
import t from 'tap'

import { openBackend, tf } from '../src/index.ts'

const backend = await openBackend({ prefer: 'portable' })

const tensor = (name: string, shape: number[]): tf.Tensor =>
  tf.tensor(Float32Array.from(uniforms(name, tf.util.sizeFromShape(shape))), shape)

/** Largest deviation of wasm from the cpu backend, relative to the largest value. */
async function deviation(compute: (...inputs: tf.Tensor[]) => tf.Tensor[], shapes: number[][]) {
  const run = async (name: string) => {
    await tf.setBackend(name)
    const inputs = shapes.map((shape, i) => tensor(`input${i}`, shape))
    const outputs = tf.tidy(() => compute(...inputs))
    return outputs.map(output => ({ shape: output.shape, values: Array.from(output.dataSync()) }))
  }
  const wanted = await run('cpu')
  const found = await run('wasm')
  return found.map(({ shape, values }, i) => {
    const reference = wanted[i]!
    if (`${shape}` !== `${reference.shape}`) return Infinity
    const scale = reference.values.reduce((top, v) => Math.max(top, Math.abs(v)), 1e-9)
    return values.reduce(
      (top, v, j) => Math.max(top, Math.abs(v - reference.values[j]!) / scale),
      0,
    )
  })
}

/** The gradients of a sum of the output weighted by fixed numbers. */
const gradients =
  (f: (...inputs: tf.Tensor[]) => tf.Tensor) =>
  (...inputs: tf.Tensor[]): tf.Tensor[] =>
    tf.grads((...xs: tf.Tensor[]) => {
      const y = f(...xs)
      return tf.sum(tf.mul(y, tensor('weights', y.shape)))
    })(inputs)

type Kernel = [number, number]
type Pad = 'same' | 'valid' | number | [[0, 0], Kernel, Kernel, [0, 0]]
const convolutions: { name: string; x: number[]; filter: number[]; strides: Kernel; pad: Pad }[] = [
  { name: '3x3', x: [2, 9, 7, 3], filter: [3, 3, 3, 5], strides: [1, 1], pad: 'valid' },
  { name: '3x3 padded', x: [2, 9, 7, 3], filter: [3, 3, 3, 5], strides: [1, 1], pad: 1 },
  {
    name: '3x3 stride 2, a row left over',
    x: [2, 10, 9, 3],
    filter: [3, 3, 3, 4],
    strides: [2, 2],
    pad: 'valid',
  },
  {
    name: '3x3 stride 2, same',
    x: [1, 8, 9, 2],
    filter: [3, 3, 2, 4],
    strides: [2, 2],
    pad: 'same',
  },
  {
    name: '7x7 stride 2 padding 3',
    x: [2, 16, 15, 3],
    filter: [7, 7, 3, 4],
    strides: [2, 2],
    pad: 3,
  },
  {
    name: '1x7 padded in width',
    x: [2, 7, 7, 4],
    filter: [1, 7, 4, 4],
    strides: [1, 1],
    pad: [
      [0, 0],
      [0, 0],
      [3, 3],
      [0, 0],
    ],
  },
  { name: '1x1', x: [3, 5, 4, 6], filter: [1, 1, 6, 7], strides: [1, 1], pad: 'valid' },
  { name: '1x1 stride 2', x: [2, 7, 8, 3], filter: [1, 1, 3, 5], strides: [2, 2], pad: 'valid' },
  { name: '2x2 stride 3', x: [1, 11, 10, 2], filter: [2, 2, 2, 3], strides: [3, 3], pad: 'valid' },
  {
    name: 'padding after the far edge only',
    x: [1, 6, 6, 2],
    filter: [1, 1, 2, 3],
    strides: [1, 1],
    pad: [
      [0, 0],
      [0, 2],
      [0, 1],
      [0, 0],
    ],
  },
]

t.test('the portable backend says what it is', async t => {
  t.equal(backend.name, 'portable')
  t.match(backend.describe(), /^portable: TensorFlow\.js 4\.\d+\.\d+, WebAssembly SIMD, 1 thread$/)
  t.equal(tf.getBackend(), 'wasm')
})

t.test('opening it twice registers nothing twice', async t => {
  const kernel = tf.getKernel('Conv2DBackpropFilter', 'wasm')
  await openBackend({ prefer: 'portable' })
  t.equal(tf.getKernel('Conv2DBackpropFilter', 'wasm'), kernel)
})

t.test('convolution gradients agree with the cpu backend', async t => {
  for (const { name, x, filter, strides, pad } of convolutions) {
    const convolve = (a: tf.Tensor, b: tf.Tensor) =>
      tf.conv2d(a as tf.Tensor4D, b as tf.Tensor4D, strides, pad as 'same')
    const found = await deviation(gradients(convolve as () => tf.Tensor), [x, filter])
    t.ok(Math.max(...found) < 1e-5, `${name}: input ${found[0]}, filter ${found[1]}`)
  }
})

t.test('depthwise convolution gradients agree with the cpu backend', async t => {
  for (const [stride, pad] of [
    [1, 'same'],
    [2, 'same'],
    [2, 'valid'],
  ] as const) {
    const convolve = (a: tf.Tensor, b: tf.Tensor) =>
      tf.depthwiseConv2d(a as tf.Tensor4D, b as tf.Tensor4D, stride, pad)
    const shapes = [
      [2, 8, 7, 5],
      [3, 3, 5, 1],
    ]
    const found = await deviation(gradients(convolve as () => tf.Tensor), shapes)
    t.ok(Math.max(...found) < 1e-5, `stride ${stride}, ${pad}: ${found}`)
  }
  await tf.setBackend('wasm')
  const two = (x: tf.Tensor) =>
    tf.depthwiseConv2d(x as tf.Tensor4D, tf.ones([3, 3, 2, 2]), 1, 'same')
  t.throws(() => tf.grad(two)(tf.ones([1, 4, 4, 2])), {
    name: 'ShapeError',
    message: /2 outputs a channel, expected 1/,
  })
})

t.test('matrix products and their gradients agree with the cpu backend', async t => {
  const cases: [boolean, boolean, number[], number[]][] = [
    [false, false, [5, 7], [7, 3]],
    [true, false, [7, 5], [7, 3]],
    [false, true, [5, 7], [3, 7]],
    [true, true, [7, 5], [3, 7]],
    [false, true, [4, 5, 7], [4, 3, 7]],
    [true, false, [4, 7, 5], [4, 7, 3]],
    [false, false, [1, 5, 7], [4, 7, 3]],
  ]
  for (const [left, right, a, b] of cases) {
    const product = (p: tf.Tensor, q: tf.Tensor) => tf.matMul(p, q, left, right)
    const [value] = await deviation((p, q) => [product(p!, q!)], [a, b])
    t.ok(value! < 1e-5, `[${a}] x [${b}], transposed ${left} ${right}: ${value}`)
    if (a[0] === b[0] || a.length === 2) {
      const found = await deviation(gradients(product as () => tf.Tensor), [a, b])
      t.ok(Math.max(...found) < 1e-5, `[${a}] x [${b}] gradients: ${found}`)
    }
  }
})

t.test('a matrix may be the right operand in several shapes', async t => {
  const inputs = [
    [2, 6],
    [2, 3],
    [2, 4],
  ]
  const found = await deviation((x, a, b) => {
    const narrow = tf.reshape(x!, [3, 4])
    const wide = tf.reshape(x!, [4, 3])
    return [
      tf.matMul(a!, narrow),
      tf.matMul(b!, wide),
      tf.matMul(a!, wide, false, true),
      tf.matMul(tf.ones([1, 12]), tf.reshape(x!, [12, 1])),
      tf.matMul(tf.ones([2, 1]), tf.reshape(x!, [12, 1]), false, true),
    ]
  }, inputs)
  t.ok(Math.max(...found) < 1e-5, `deviations ${found}`)
})

t.test('the other gradients of the networks agree with the cpu backend', async t => {
  const image = [2, 8, 7, 3]
  const cases: Record<string, (x: tf.Tensor) => tf.Tensor> = {
    'max pool 3 stride 2': x => tf.maxPool(x as tf.Tensor4D, 3, 2, 'valid'),
    'max pool of negative values': x => tf.maxPool(tf.sub(x, 2) as tf.Tensor4D, 3, 2, 'valid'),
    'max pool 3 stride 2 padding 1': x => tf.maxPool(x as tf.Tensor4D, 3, 2, 1),
    'avg pool 2 stride 2': x => tf.avgPool(x as tf.Tensor4D, 2, 2, 'valid'),
    relu: tf.relu,
    relu6: x => tf.relu6(tf.mul(x, 9)),
    prelu: x => tf.prelu(x, tf.tensor([0.1, 0.2, 0.3])),
    mean: x => tf.mean(x, [1, 2]),
    'sum of columns': x => tf.sum(x, [0, 1, 2]),
    'sum of columns, kept': x => tf.sum(x, [2, 0, 1], true),
    'mean of columns': x => tf.mean(x, [0, 1, 2]),
    'sum of everything': x => tf.sum(x),
    moments: x => tf.moments(x, [0, 1, 2]).variance,
    'log softmax': x => tf.logSoftmax(tf.reshape(x, [-1, 3])),
    concat: x => tf.concat([x, tf.square(x)], 3),
    pad: x =>
      tf.pad(x, [
        [0, 0],
        [1, 2],
        [0, 1],
        [0, 0],
      ]),
    slice: x => tf.slice(x, [0, 1, 2, 0], [2, 5, 4, 3]),
    'slice of the first axis': x => tf.slice(x, [1, 0, 0, 0], [1, 8, 7, 3]),
    'split of channels': x => tf.split(x, [2, 1], 3)[0]!,
    unstack: x => tf.unstack(x, 1)[3]!,
    transpose: x => tf.transpose(x, [0, 3, 2, 1]),
    'sqrt of maximum': x => tf.sqrt(tf.maximum(x, 1e-2)),
    minimum: x => tf.minimum(tf.abs(x), 0.5),
    rsqrt: x => tf.rsqrt(tf.add(tf.square(x), 1)),
  }
  for (const [name, f] of Object.entries(cases)) {
    const [found] = await deviation(gradients(f as () => tf.Tensor), [image])
    t.ok(found! < 1e-5, `${name}: ${found}`)
  }
})

t.test('a gradient leaves no tensors behind', async t => {
  await tf.setBackend('wasm')
  const x = tensor('x', [2, 9, 9, 3])
  const filter = tensor('filter', [3, 3, 3, 4])
  const before = tf.memory().numTensors
  for (let i = 0; i < 2; i++) {
    const made = gradients(((a: tf.Tensor4D, b: tf.Tensor4D) =>
      tf.conv2d(a, b, 2, 'same')) as unknown as () => tf.Tensor)(x, filter)
    tf.dispose(made)
  }
  t.equal(tf.memory().numTensors, before)
})
