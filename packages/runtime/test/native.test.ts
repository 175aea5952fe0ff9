// tap: test/native.test.ts covers src/native/build.ts, src/native/addon.ts, src/native/fused.ts, src/native/jpeg-decoder.ts, src/native/place.ts, src/native/wheels.ts, src/native/stage.ts
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

import { silentLog, uniforms } from '@deepfever/core'
import t from 'tap'

import { openBackend, openFused, tf } from '../src/index.ts'
import { loadAddon } from '../src/native/addon.ts'
import { buildNative } from '../src/native/index.ts'
import { addonPath, nativeMissing, readStamp } from '../src/native/place.ts'
import { toRequirements, wheels } from '../src/native/wheels.ts'

const built = readStamp('cpu')
const skip = nativeMissing() ?? false

const context = () => ({
  log: silentLog,
  signal: new AbortController().signal,
  work: { stage: 'runtime native', behaviour: 1, identity: {} },
  checkpoint: () => {},
})

/** Runs `f` with another environment, and puts the old one back. */
async function within<T>(changes: Record<string, string>, f: () => Promise<T>): Promise<T> {
  const before = Object.keys(changes).map(name => [name, process.env[name]] as const)
  Object.assign(process.env, changes)
  try {
    return await f()
  } finally {
    for (const [name, value] of before)
      if (value === undefined) delete process.env[name]
      else process.env[name] = value
  }
}

t.test('every wheel is pinned by a hash', async t => {
  for (const list of Object.values(wheels))
    for (const line of toRequirements(list).trim().split('\n'))
      t.match(line, /^[a-z0-9-]+==[\d.]+ --hash=sha256:[0-9a-f]{64}$/)
})

t.test('a missing tool is one line that says what to install', async t => {
  const folder = t.testdir({ bin: {} })
  const build = () => buildNative({ device: 'cpu', libtensorflow: '', force: false }, context())
  await within({ DEEPFEVER_NATIVE: join(folder, 'native'), PATH: join(folder, 'bin') }, () =>
    t.rejects(build(), {
      name: 'StageError',
      message: /^native backend: python3 is missing; .*apt-get install/,
    }),
  )
  writeFileSync(join(folder, 'bin', 'python3'), '#!/bin/sh\n[ "$1" = --version ]\n', {
    mode: 0o755,
  })
  await within({ DEEPFEVER_NATIVE: join(folder, 'native'), PATH: join(folder, 'bin') }, () =>
    t.rejects(build(), { message: /^native backend: python3 has no pip; / }),
  )
  writeFileSync(join(folder, 'bin', 'python3'), '#!/bin/sh\n', { mode: 0o755 })
  await within({ DEEPFEVER_NATIVE: join(folder, 'native'), PATH: join(folder, 'bin') }, () =>
    t.rejects(build(), { message: /^native backend: g\+\+ is missing; .*apt-get install g\+\+/ }),
  )
})

t.test('a folder without the library is named', async t => {
  const folder = t.testdir({ library: {} })
  mkdirSync(join(folder, 'bin'))
  writeFileSync(join(folder, 'bin', 'g++'), '#!/bin/sh\n', { mode: 0o755 })
  await within({ DEEPFEVER_NATIVE: join(folder, 'native'), PATH: join(folder, 'bin') }, () =>
    t.rejects(
      buildNative(
        { device: 'cpu', libtensorflow: join(folder, 'library'), force: false },
        context(),
      ),
      { name: 'UsageError', message: /library has no libtensorflow_cc\.so\.2 or / },
    ),
  )
})

t.test('without a build: portable by itself, and an error when it is asked for', async t => {
  await within({ DEEPFEVER_NATIVE: t.testdir({}) }, async () => {
    for (const [prefer, command] of [
      ['native', 'npx nx run runtime:native'],
      ['cuda', 'npx nx run runtime:native --cuda'],
    ] as const)
      await t.rejects(openBackend({ prefer }), {
        name: 'StageError',
        message: new RegExp(`is not built; build it with: ${command}$`),
      })
    const backend = await openBackend()
    t.equal(backend.name, 'portable')
    t.match(backend.advice, /npx nx run runtime:native/)
  })
})

t.test('the self-test of a build meant for a GPU fails on a CPU', { skip }, async t => {
  const folder = t.testdir({ cuda: {} })
  const stamp = JSON.stringify({ ...built, device: 'cuda' })
  writeFileSync(join(folder, 'cuda', 'native.json'), stamp)
  writeFileSync(join(folder, 'cuda', 'tfjs_binding.node'), '')
  // The addon that is already loaded answers, and it sees no GPU.
  loadAddon(addonPath('cpu'))
  await within({ DEEPFEVER_NATIVE: folder }, () =>
    t.rejects(openBackend({ prefer: 'cuda' }), { message: /for cuda found no GPU/ }),
  )
})

t.test('native where it is built', { skip }, async t => {
  const backend = await openBackend()
  t.equal(backend.name, 'native')
  t.match(backend.describe(), `TensorFlow ${built?.tensorflow}`)
})

t.test('fused operations agree with the plain ones', { skip }, async t => {
  const { kernels } = await openBackend({ prefer: 'native' })
  const fused = openFused(kernels!)
  const drawn = (name: string, shape: number[]): tf.Tensor =>
    tf.tensor(Float32Array.from(uniforms(name, tf.util.sizeFromShape(shape))), shape)
  const [x, weight, bias] = [drawn('x', [3, 5, 4, 6]), drawn('w', [6]), drawn('b', [6])]
  const filter = drawn('filter', [1, 1, 8, 8])
  const [x2, w8, b8] = [drawn('x2', [3, 5, 4, 2]), drawn('w8', [8]), drawn('b8', [8])]
  const narrow = drawn('narrow', [1, 1, 6, 8])

  const plainNorm = (...inputs: tf.Tensor[]) => {
    const [y, w, b] = inputs as [tf.Tensor, tf.Tensor, tf.Tensor]
    const { mean, variance } = tf.moments(y, [0, 1, 2])
    return tf.add(tf.mul(tf.mul(tf.sub(y, mean), tf.rsqrt(tf.add(variance, 1e-3))), w), b)
  }
  const pairs: [
    string,
    tf.Tensor[],
    (...i: tf.Tensor[]) => tf.Tensor,
    (...i: tf.Tensor[]) => tf.Tensor,
  ][] = [
    ['relu', [x], y => fused.relu(y), y => tf.relu(y)],
    [
      'batchNorm',
      [x, weight, bias],
      (y, w, b) => fused.batchNorm(y as tf.Tensor4D, w as tf.Tensor1D, b as tf.Tensor1D, 1e-3).y,
      plainNorm,
    ],
    [
      'denseInput',
      [x, x2, w8, b8, filter],
      (y, z, w, b, f) =>
        fused.denseInput(
          [y as tf.Tensor4D, z as tf.Tensor4D],
          { weight: w as tf.Tensor1D, bias: b as tf.Tensor1D, eps: 1e-3 },
          f as tf.Tensor4D,
        ).y,
      (y, z, w, b, f) =>
        tf.conv2d(
          tf.relu(plainNorm(tf.concat([y!, z!], 3), w!, b!)) as tf.Tensor4D,
          f as tf.Tensor4D,
          1,
          'valid',
        ),
    ],
    [
      'pointwise',
      [x, narrow],
      (y, w) => fused.pointwise(y as tf.Tensor4D, w as tf.Tensor4D),
      (y, w) => tf.conv2d(y as tf.Tensor4D, w as tf.Tensor4D, 1, 'valid'),
    ],
  ]
  for (const [name, inputs, found, wanted] of pairs) {
    const run = (f: (...i: tf.Tensor[]) => tf.Tensor) => {
      const weighted = (...i: tf.Tensor[]) => {
        const y = f(...i)
        return tf.sum(tf.mul(y, drawn('weights', y.shape)))
      }
      return [f(...inputs), ...tf.grads(weighted)(inputs)]
    }
    const outputs = run(found)
    run(wanted).forEach((reference, i) => {
      const difference = tf.max(tf.abs(tf.sub(reference, outputs[i]!))).dataSync()[0]!
      t.ok(difference < 2e-5, `${name} ${i ? `gradient ${i - 1}` : 'value'}: ${difference} off`)
    })
  }
  const { mean, variance } = fused.batchNorm(
    x as tf.Tensor4D,
    weight as tf.Tensor1D,
    bias as tf.Tensor1D,
    1e-3,
  )
  const moments = tf.moments(x, [0, 1, 2])
  t.ok(tf.max(tf.abs(tf.sub(mean, moments.mean))).dataSync()[0]! < 1e-6, 'mean')
  const unbiased = tf.mul(moments.variance, 60 / 59)
  t.ok(tf.max(tf.abs(tf.sub(variance, unbiased))).dataSync()[0]! < 1e-6, 'unbiased variance')
})

t.test('a batch norm leaves no tensor behind', { skip }, async t => {
  const { kernels } = await openBackend({ prefer: 'native' })
  const fused = openFused(kernels!)
  const x = tf.ones([2, 2, 2, 3]) as tf.Tensor4D
  const w = tf.ones([3]) as tf.Tensor1D
  const step = () =>
    tf
      .tidy(() => tf.grad(y => tf.sum(fused.batchNorm(y as tf.Tensor4D, w, w, 1e-5).y))(x))
      .dispose()
  step()
  const before = [tf.memory().numTensors, kernels!.binding.getNumOfTensors()]
  for (let i = 0; i < 5; i++) step()
  t.strictSame([tf.memory().numTensors, kernels!.binding.getNumOfTensors()], before)
})
