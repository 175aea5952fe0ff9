// tap: test/start-weights.test.ts covers src/start-weights.ts
import { writeFile } from 'node:fs/promises'
import { encodeSafetensors, sha256, type Tensor } from '@deepfever/formats'
import { describeNetwork, float32Tensor, toNetwork } from '@deepfever/models'
import t from 'tap'
import student from '../configs/student.ts'
import teacher256 from '../configs/teacher256.ts'
import { withOverlay } from '../src/experiment.ts'
import { readStartWeights } from '../src/start-weights.ts'

/** A small student whose backbone is a DenseNet, with published weights wanted. */
const small = {
  ...withOverlay(student.experiment, student.overlays['smoke']!),
  init: 'pretrained',
} as const

/** The backbone's tensors as `models import` writes them. */
function backbone(): Map<string, Tensor> {
  const tensors = new Map<string, Tensor>()
  for (const { name, shape } of describeNetwork(toNetwork(small.network)).parameters) {
    const size = shape.reduce((product, n) => product * n, 1)
    if (name.startsWith('backbone.'))
      tensors.set(name, float32Tensor(shape, new Float32Array(size).fill(0.25)))
  }
  return tensors
}

t.test(
  'a run that wants published weights says which file, from whom, and the command',
  async t => {
    const dir = t.testdir()
    await t.rejects(readStartWeights(teacher256.experiment, dir), {
      name: 'StageError',
      message:
        `${dir}/inception-resnet-v1.safetensors: the published weights are missing; ` +
        'get 20180402-114759-vggface2.pt from the releases (v2.2.9) of timesler/facenet-pytorch, ' +
        'then: npx deepfever models import --weights=20180402-114759-vggface2.pt --into=teacher ' +
        '(or start from seeded weights: --init=random)',
    })
    await t.rejects(readStartWeights(student.experiment), {
      message:
        /^datasets\/weights\/densenet201.safetensors: .* --weights=densenet201-c1103571.pth --i/,
    })
  },
)

t.test('imported weights stand over the seeded ones, and their digest is an input', async t => {
  const dir = t.testdir()
  const bytes = encodeSafetensors(backbone())
  await writeFile(`${dir}/densenet201.safetensors`, bytes)
  const { state, inputs } = await readStartWeights(small, dir)
  const { state: seeded } = await readStartWeights({ ...small, init: 'random' })
  const others = [...state].filter(([name, { values }]) =>
    name.startsWith('backbone.')
      ? values.some(value => value !== 0.25)
      : values.some((value, i) => value !== seeded.get(name)!.values[i]),
  )
  t.same(others, [])
  t.same([...state.keys()].sort(), [...seeded.keys()].sort())
  t.match(inputs, [{ role: 'weights', digest: sha256(bytes), terms: [{ licence: 'unstated' }] }])
})

t.test('weights of another size or with gaps are refused', async t => {
  const dir = t.testdir()
  const file = `${dir}/densenet201.safetensors`
  const tensors = backbone()
  tensors.delete('backbone.features.norm5.bias')
  await writeFile(file, encodeSafetensors(tensors))
  await t.rejects(readStartWeights(small, dir), {
    name: 'StageError',
    message:
      /lacks 1 tensors of student, first is backbone.features.norm5.bias; import it again: get/,
  })
  tensors.set('backbone.features.norm5.bias', float32Tensor([1920], new Float32Array(1920)))
  await writeFile(file, encodeSafetensors(tensors))
  await t.rejects(readStartWeights(small, dir), {
    name: 'ShapeError',
    message: /densenet201.safetensors: backbone.features.norm5.bias is \[1920\], expected \[\d+\]/,
  })
})
