// tap: test/networks.test.ts covers src/teacher.ts src/student.ts src/inception-resnet-v1.ts src/dense-net.ts src/res-net.ts src/mobile-net-v2.ts src/mtcnn.ts src/backbone.ts src/heads.ts src/initialise.ts src/state.ts src/network.ts
import t from 'tap'

import {
  BACKBONES,
  INCEPTION_STAGES,
  STUDENT,
  TEACHER,
  TEACHER_TRUNK,
  atSize,
  describeNetwork,
  float32Tensor,
  floatsOf,
  initialise,
  oNet,
  pNet,
  parametersOf,
  rNet,
  studentNetwork,
  teacherNetwork,
} from '../src/index.ts'
import type { Backbone, InceptionStage, Network, Shape } from '../src/index.ts'

const TINY: Backbone = { kind: 'densenet', growth: 4, blocks: [1, 2], stem: 8, bottleneck: 2 }
const tinyStudent = studentNetwork({ ...STUDENT, backbone: TINY, embedding: 6, size: 32 })

const countOf = (network: Network, part: string): number =>
  describeNetwork(network)
    .parameters.filter(({ name, trainable }) => trainable && name.startsWith(`${part}.`))
    .reduce((sum, { shape }) => sum + shape.reduce((product, n) => product * n, 1), 0)

const shapesOf = (network: Network): Record<string, Shape> =>
  Object.fromEntries(describeNetwork(network).parameters.map(({ name, shape }) => [name, shape]))

t.test('the networks have the published numbers of parameters', async t => {
  t.equal(describeNetwork(teacherNetwork()).count, 11_862_312)
  t.equal(describeNetwork(teacherNetwork({ ...TEACHER, embedding: 128 })).count, 11_750_440)
  t.equal(describeNetwork(studentNetwork()).count, 18_615_800)
  t.equal(countOf(teacherNetwork(), 'trunk'), 9_613_312)
  t.equal(countOf(studentNetwork(), 'backbone'), 18_092_928, 'densenet201 without its classifier')
  const on = (backbone: Backbone) => studentNetwork({ ...STUDENT, backbone })
  t.equal(countOf(on(BACKBONES.resnet50), 'backbone'), 23_508_032, 'resnet50 without fc')
  t.equal(countOf(on(BACKBONES.mobilenetV2), 'backbone'), 2_223_872, 'without its classifier')
  t.same(
    [pNet, rNet, oNet].map(network => describeNetwork(network).count),
    [6_632, 100_178, 389_040],
  )
})

t.test('parameters carry the names and shapes of their state dicts', async t => {
  const teacher = shapesOf(teacherNetwork())
  t.same(teacher['trunk.conv2d_1a.conv.weight'], [32, 3, 3, 3])
  t.same(teacher['trunk.repeat_2.9.branch1.1.conv.weight'], [128, 128, 1, 7])
  t.same(teacher['trunk.repeat_1.0.conv2d.bias'], [256])
  t.same(teacher['neck.dense.layer5.norm1.running_var'], [768])
  t.same(teacher['heads.affectnet.weight'], [8, 256])
  const student = shapesOf(studentNetwork())
  t.same(student['backbone.features.denseblock4.denselayer32.conv2.weight'], [32, 128, 3, 3])
  t.same(student['backbone.features.transition3.conv.weight'], [896, 1792, 1, 1])
  t.same(student['project.conv.weight'], [256, 1920, 1, 1])
  const resnet = shapesOf(studentNetwork({ ...STUDENT, backbone: BACKBONES.resnet50 }))
  t.same(resnet['backbone.layer4.0.downsample.0.weight'], [2048, 1024, 1, 1])
  const mobilenet = shapesOf(studentNetwork({ ...STUDENT, backbone: BACKBONES.mobilenetV2 }))
  t.same(mobilenet['backbone.features.1.conv.0.0.weight'], [32, 1, 3, 3])
  t.same(mobilenet['backbone.features.18.0.weight'], [1280, 320, 1, 1])
})

t.test('the teacher sees 7 x 7 at 140 pixels, and can be cut anywhere', async t => {
  const sizes = (network: Network) =>
    Object.values(describeNetwork(network).taps).map(([, height]) => height)
  const whole = teacherNetwork({ ...TEACHER, trunk: { ...TEACHER_TRUNK, cut: 'block8' } })
  t.same(sizes(whole).slice(0, 13), [69, 67, 67, 33, 33, 31, 15, 15, 7, 7, 3, 3, 3])
  t.equal(countOf(whole, 'trunk'), 22_564_096)
  for (const [index, cut] of INCEPTION_STAGES.entries()) {
    const { taps } = describeNetwork(
      teacherNetwork({ ...TEACHER, trunk: { ...TEACHER_TRUNK, cut } }),
    )
    t.equal(Object.keys(taps).filter(name => name.startsWith('trunk.')).length, index + 1, cut)
  }
  const trunk = { ...TEACHER_TRUNK, cut: 'mixed_9z' as InceptionStage }
  t.throws(() => describeNetwork(teacherNetwork({ ...TEACHER, trunk })), {
    name: 'UsageError',
    message: /cut is mixed_9z, expected one of conv2d_1a/,
  })
})

t.test('widths, depths and heads are free', async t => {
  const trunk = { cut: 'repeat_2', width: 0.25, repeats: [1, 2, 1] } as const
  const teacher = describeNetwork(teacherNetwork({ ...TEACHER, trunk, embedding: 16 }))
  t.same(teacher.taps['trunk.repeat_2'], [224, 7, 7])
  t.same(teacher.outputs, { embedding: [16], fec: [32], affectnet: [8] })
  const linear = studentNetwork({
    ...STUDENT,
    backbone: TINY,
    projection: 'linear',
    heads: { fec: 2, affectnet: 8, distill: 0 },
  })
  const { outputs, parameters } = describeNetwork(linear)
  t.same(outputs, { embedding: [256], fec: [2], affectnet: [8] })
  t.ok(parameters.some(({ name }) => name === 'project.linear.weight'))
})

t.test('the digest names the architecture', async t => {
  const { digest } = describeNetwork(tinyStudent)
  t.equal(
    describeNetwork(studentNetwork({ ...STUDENT, backbone: TINY, embedding: 6, size: 32 })).digest,
    digest,
  )
  t.not(describeNetwork(atSize(tinyStudent, 64)).digest, digest, 'another size')
  const other = { ...TINY, growth: 5 }
  t.not(
    describeNetwork(studentNetwork({ ...STUDENT, backbone: other, embedding: 6, size: 32 })).digest,
    digest,
  )
})

t.test('an image too small for the network is refused in words', async t => {
  t.throws(() => describeNetwork(atSize(teacherNetwork(), 20)), {
    name: 'ShapeError',
    message: /an input of .* leaves .*; use a larger image/,
  })
})

t.test('fresh weights follow seed and name', async t => {
  const state = initialise(tinyStudent, 'a')
  t.same(initialise(tinyStudent, 'a'), state, 'the same seed')
  const name = 'backbone.features.denseblock2.denselayer1.conv2.weight'
  t.not(floatsOf(initialise(tinyStudent, 'b').get(name)!)[0], floatsOf(state.get(name)!)[0])
  const wider = studentNetwork({ ...STUDENT, backbone: TINY, embedding: 7, size: 32 })
  t.same(initialise(wider, 'a').get(name), state.get(name), 'a change elsewhere leaves it alone')
})

t.test('fresh weights are spread as torchvision spreads them', async t => {
  const spread = (network: Network, name: string) => {
    const values = floatsOf(initialise(network, 1).get(name)!)
    return {
      deviation: Math.sqrt(values.reduce((sum, v) => sum + v * v, 0) / values.length),
      largest: values.reduce((most, v) => Math.max(most, Math.abs(v)), 0),
    }
  }
  const near = (found: number, wanted: number, name: string) =>
    t.ok(Math.abs(found / wanted - 1) < 0.05, `${name}: ${found}, expected about ${wanted}`)
  const student = studentNetwork({
    ...STUDENT,
    backbone: { kind: 'densenet', growth: 32, blocks: [1], stem: 64, bottleneck: 4 },
  })
  const conv = 'backbone.features.denseblock1.denselayer1.conv2.weight'
  near(spread(student, conv).deviation, Math.sqrt(2 / (128 * 9)), conv)
  near(spread(student, 'heads.fec.weight').largest, 1 / 16, 'heads.fec.weight')
  t.equal(spread(student, 'heads.fec.bias').largest, 0)
  const resnet = studentNetwork({
    ...STUDENT,
    backbone: { kind: 'resnet', blocks: [1, 1, 1, 1], stem: 16 },
  })
  const out = 'backbone.layer4.0.conv3.weight'
  near(spread(resnet, out).deviation, Math.sqrt(2 / 512), out)
  const trunk = { cut: 'repeat_1', width: 0.5, repeats: [1, 0, 0] } as const
  const teacher = teacherNetwork({ ...TEACHER, trunk })
  const uniform = 'trunk.conv2d_4b.conv.weight'
  near(spread(teacher, uniform).largest, 1 / Math.sqrt(96 * 9), uniform)
  t.same(floatsOf(initialise(teacher, 1).get('trunk.conv2d_4b.bn.running_var')!)[0], 1)
})

t.test('weights that do not fit are named', async t => {
  const state = new Map(initialise(tinyStudent, 1))
  state.set('heads.fec.weight', float32Tensor([6, 32], new Float32Array(192)))
  t.throws(() => parametersOf(tinyStudent, state), {
    name: 'ShapeError',
    message: 'student: heads.fec.weight is [6,32], expected [32,6]',
    fields: { name: 'heads.fec.weight', found: [6, 32], wanted: [32, 6] },
  })
  state.delete('heads.fec.weight')
  t.throws(() => parametersOf(tinyStudent, state), { message: /weights lack heads\.fec\.weight/ })
})
