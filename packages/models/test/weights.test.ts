// tap: test/weights.test.ts covers src/checkpoint.ts src/specification.ts src/import.ts src/export.ts src/formula-weights.ts src/tfjs-parameters.ts src/onnx.ts
import { silentLog } from '@deepfever/core'
import { writeArtifact } from '@deepfever/formats'
import type { StateDict, Tensor } from '@deepfever/formats'
import { openBackend, tf } from '@deepfever/runtime'
import { openSession } from '@deepfever/runtime/onnx'
import t from 'tap'

import {
  STUDENT,
  TEACHER,
  WEIGHT_SOURCES,
  describeNetwork,
  exportModel,
  float32Tensor,
  formulaWeights,
  importWeights,
  initialise,
  openCheckpoint,
  studentNetwork,
  teacherNetwork,
  toOnnx,
  toNetwork,
  uniformTensor,
  writeCheckpoint,
} from '../src/index.ts'
import {
  dropoutMask,
  forward,
  loadParameters,
  normalisePixels,
  readParameters,
} from '../src/tfjs/index.ts'
import type { Network, NetworkSpecification } from '../src/index.ts'

const specification: NetworkSpecification = {
  kind: 'student',
  ...STUDENT,
  backbone: { kind: 'densenet', growth: 4, blocks: [1, 2], stem: 8, bottleneck: 2 },
  embedding: 6,
  size: 32,
}
const student = toNetwork(specification)
const teacher = teacherNetwork({
  ...TEACHER,
  trunk: { cut: 'repeat_2', width: 1 / 16, repeats: [1, 1, 0] },
  neck: { reduce: 8, layers: 2, growth: 4, bottleneck: 2 },
  embedding: 6,
  size: 80,
})
const LABELS = ['Neutral', 'Happy', 'Sad', 'Surprise', 'Fear', 'Disgust', 'Anger', 'Contempt']

/** The part of a network's formula weights, under the names that a published file has. */
function published(network: Network, part: string, rename = (key: string) => key) {
  const file = new Map<string, Tensor>()
  for (const [name, tensor] of formulaWeights(network, 'published.'))
    if (name.startsWith(`${part}.`)) file.set(rename(name.slice(part.length + 1)), tensor)
  return file
}

t.before(async () => openBackend({ prefer: 'portable' }))

t.test('weights of the uncut network fill the trunk, later stages are ignored', async t => {
  const file = published(teacher, 'trunk')
  file.set('mixed_7a.branch0.0.conv.weight', float32Tensor([1], new Float32Array(1)))
  file.set('logits.bias', float32Tensor([1], new Float32Array(1)))
  file.set('conv2d_1a.bn.num_batches_tracked', float32Tensor([], new Float32Array(1)))
  const source = WEIGHT_SOURCES['inception-resnet-v1']
  const initial = initialise(teacher, 1)
  const { state, used, ignored, missing } = importWeights(teacher, initial, file, source, 'vgg.pt')
  t.equal(used.length, file.size - 3)
  t.same(ignored, ['mixed_7a.branch0.0.conv.weight', 'logits.bias'])
  t.same(missing, [])
  const name = 'conv2d_4b.conv.weight'
  t.same(state.get(`trunk.${name}`)!.values, file.get(name)!.values)
  t.equal(state.get('heads.fec.weight'), initial.get('heads.fec.weight'), 'the rest is kept')
})

t.test('the old names of DenseNet checkpoints are understood', async t => {
  const old = (key: string) => key.replace(/(denselayer\d+\.(?:norm|conv))([12]\.)/, '$1.$2')
  const file = published(student, 'backbone', old)
  t.ok(file.has('features.denseblock2.denselayer2.norm.1.running_mean'))
  file.set('classifier.weight', float32Tensor([1], new Float32Array(1)))
  file.delete('features.norm5.bias')
  const initial = initialise(student, 1)
  const report = importWeights(student, initial, file, WEIGHT_SOURCES.densenet, 'densenet.pth')
  t.same(report.ignored, ['classifier.weight'])
  t.same(report.missing, ['backbone.features.norm5.bias'])
  t.equal(report.used.length, file.size - 1)
})

t.test('a tensor of another shape is named with found and wanted', async t => {
  const file = published(student, 'backbone')
  file.set('features.conv0.weight', float32Tensor([64, 3, 7, 7], new Float32Array(9408)))
  const run = () =>
    importWeights(student, initialise(student, 1), file, WEIGHT_SOURCES.densenet, 'big.pth')
  t.throws(run, {
    name: 'ShapeError',
    message: 'big.pth: features.conv0.weight is [64,3,7,7], expected [8,3,7,7]',
  })
})

t.test('weights of another network are refused', async t => {
  const file: StateDict = new Map([['layer1.0.bn1.bias', float32Tensor([1], new Float32Array(1))]])
  const run = () =>
    importWeights(student, initialise(student, 1), file, WEIGHT_SOURCES.densenet, 'resnet.pth')
  t.throws(run, {
    name: 'FormatError',
    message:
      'resnet.pth: none of 1 tensors fits backbone of student, first is layer1.0.bn1.bias; ' +
      'expected torchvision DenseNet weights',
  })
})

t.test('weights come back from TensorFlow.js as they went in', async t => {
  const backbone = { kind: 'mobilenet', width: 0.25 } as const
  const network = studentNetwork({ ...STUDENT, backbone, embedding: 4 })
  const state = formulaWeights(network, '')
  t.strictSame(await readParameters(network, loadParameters(network, state)), state)
})

t.test('an exported student gives what the student gives', async t => {
  const state = formulaWeights(student, 'export.')
  const licence = ['research only']
  const { onnx, contract } = exportModel(student, state, { labels: LABELS, licence })
  const pixels = uniformTensor('pixels', [3, 32, 32, 3], u => Math.floor((u + 1) * 128))
  const session = await openSession(onnx, { threads: 1 })
  const values = Uint8Array.from(pixels)
  const found = await session.run({ image: { shape: [3, 32, 32, 3], values } })
  await session.close()
  const wanted = tf.tidy(() => {
    const image = normalisePixels(tf.tensor4d(pixels, [3, 32, 32, 3]), student.normalisation)
    const { outputs } = forward(student, image, loadParameters(student, state))
    return {
      embedding: outputs['embedding']!,
      expression: tf.softmax(outputs['affectnet']!),
      fec: outputs['fec']!,
    }
  })
  for (const [name, tensor] of Object.entries(wanted)) {
    const expected = await tensor.data()
    const apart = found[name]!.values.map((value, i) => Math.abs(value - expected[i]!))
    t.ok(Math.max(...apart) < 1e-4, `${name} is ${Math.max(...apart)} off`)
  }
  t.match(contract, {
    input: { type: 'uint8', layout: 'nhwc', size: [32, 32], channelOrder: 'RGB', range: [0, 255] },
    outputs: { embedding: { width: 6 }, expression: { width: 8 }, fec: { width: 32 } },
    labels: LABELS,
    licence,
  })
  t.notOk(Buffer.from(onnx).includes('heads.distill'), 'what no output needs is left out')
  t.throws(() => exportModel(student, state, { labels: ['Happy'], licence }), {
    message: 'student: 1 labels for 8 expression classes; name each class',
  })
})

t.test('any batch size gives the same rows', async t => {
  const session = await openSession(toOnnx(student, formulaWeights(student, '')), { threads: 1 })
  const values = uniformTensor('batch', [3, 3, 32, 32])
  const whole = await session.run({ image: { shape: [3, 3, 32, 32], values } })
  const last = await session.run({ image: { shape: [1, 3, 32, 32], values: values.slice(-3072) } })
  await session.close()
  const rows = whole['embedding']!.values.slice(-6)
  const apart = last['embedding']!.values.map((value, i) => Math.abs(value - rows[i]!))
  t.ok(Math.max(...apart) < 1e-5)
})

t.test(
  'training statistics follow torch: momentum 0.1, unbiased variance, part by part',
  async t => {
    const network: Network<'y'> = {
      name: 'norm',
      input: [1, 1, 2],
      normalisation: { mean: [0], std: [1] },
      outputs: ['y'],
      build: (ops, x) => ({ y: ops.batchNorm('norm', x, { eps: 0 }) }),
    }
    const state = new Map(
      Object.entries({ weight: 2, bias: 1, running_mean: 10, running_var: 100 }).map(
        ([key, value]) => [`norm.${key}`, float32Tensor([1], Float32Array.of(value))],
      ),
    )
    const images = tf.tensor4d([1, 3, 5, 7, 0, 2], [3, 1, 2, 1])
    const options = { training: true, parts: [2, 1] }
    const { outputs, statistics } = forward(
      network,
      images,
      loadParameters(network, state),
      options,
    )
    // part 1: mean 4, variance 20 / 3; part 2: mean 1, variance 2
    const mean = 0.9 * (0.9 * 10 + 0.1 * 4) + 0.1 * 1
    const variance = 0.9 * (0.9 * 100 + (0.1 * 20) / 3) + 0.1 * 2
    t.ok(Math.abs(statistics.get('norm.running_mean')!.dataSync()[0]! - mean) < 1e-5)
    t.ok(Math.abs(statistics.get('norm.running_var')!.dataSync()[0]! - variance) < 1e-4)
    const found = [...outputs.y.dataSync()]
    const wanted = [-3, -1, 1, 3].map(d => 1 + (2 * d) / Math.sqrt(5)).concat([-1, 3])
    t.ok(
      found.every((value, i) => Math.abs(value - wanted[i]!) < 1e-5),
      `normalised: ${found}`,
    )
    t.throws(() => forward(network, images, new Map(), { training: true, parts: [2, 2] }), {
      message: 'norm: parts 2 + 2 are 4 rows, the batch has 3',
    })
  },
)

t.test('dropout multiplies by the mask in training only, and leaves the embedding', async t => {
  const parameters = loadParameters(student, initialise(student, 3))
  const images = tf.tensor4d(uniformTensor('x', [2, 32, 32, 3]), [2, 32, 32, 3])
  const uniform = uniformTensor('mask', [2, 6], u => (u + 1) / 2)
  const values = dropoutMask(uniform, 0.5)
  t.ok(values.every((value, i) => value === (uniform[i]! < 0.5 ? 0 : 2)))
  const mask = tf.tensor2d(values, [2, 6])
  const rows = (options: object) => {
    const { outputs } = forward(student, images, parameters, options)
    return [outputs['embedding']!.dataSync(), outputs['fec']!.dataSync()]
  }
  const [plain, dropped] = [rows({ training: true }), rows({ training: true, mask })]
  t.same(dropped[0], plain[0], 'embedding')
  t.notSame(dropped[1], plain[1], 'fec')
  t.same(rows({ mask }), rows({}), 'evaluation')
  const narrow = tf.tensor2d([1, 1], [2, 1])
  t.throws(() => rows({ training: true, mask: narrow }), {
    message: 'student: dropout mask is [2,1], expected [2,6]',
  })
})

t.test('a tiny teacher is the same on both engines', async t => {
  const state = formulaWeights(teacher, 'tiny.')
  const values = uniformTensor('image', [1, 3, 80, 80])
  const session = await openSession(toOnnx(teacher, state, { taps: ['trunk.repeat_2'] }), {
    threads: 1,
  })
  const wanted = await session.run({ image: { shape: [1, 3, 80, 80], values } })
  await session.close()
  t.same(wanted['trunk.repeat_2']!.shape, [1, 56, 3, 3])
  const found = tf.tidy(() => {
    const images = tf.transpose(tf.tensor4d(values, [1, 3, 80, 80]), [0, 2, 3, 1]) as tf.Tensor4D
    return forward(teacher, images, loadParameters(teacher, state)).outputs['fec']!.dataSync()
  })
  const apart = wanted['fec']!.values.map((value, i) => Math.abs(value - found[i]!))
  t.ok(Math.max(...apart) < 1e-4, `${Math.max(...apart)} off`)
})

t.test('a checkpoint brings back network and weights, and says what it holds', async t => {
  const out = `${t.testdir()}/student`
  const state = formulaWeights(student, 'checkpoint.')
  const work = { stage: 'train', behaviour: 1, identity: {}, inputs: [] }
  await writeArtifact({ ...work, out, kind: 'checkpoint' }, silentLog, async write => {
    await writeCheckpoint(write, specification, state)
  })
  const found = await openCheckpoint(out, 'student')
  t.same(found.specification, specification)
  t.equal(describeNetwork(found.network).digest, describeNetwork(student).digest)
  for (const [name, tensor] of state) t.strictSame(found.state.get(name), tensor, name)
  await t.rejects(openCheckpoint(out, 'teacher'), {
    name: 'FormatError',
    message: `${out}: found a student, wanted a teacher`,
  })
})
