// tap: test/stages.test.ts covers src/stages/*.ts src/published-weights.ts src/whole-file.ts src/model-card.ts src/weight-difference.ts src/onnx-weights.ts
import { readFile, readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { runStage, silentLog } from '@deepfever/core'
import {
  decodeSafetensors,
  encodeSafetensors,
  openArtifact,
  sha256,
  writeArtifact,
  type StateDict,
  type Tensor,
} from '@deepfever/formats'
import { openSession, writeOnnxModel } from '@deepfever/runtime/onnx'
import t from 'tap'
import {
  BACKBONES,
  STUDENT,
  describeNetwork,
  float32Tensor,
  formulaWeights,
  publishedFor,
  recogniseWeights,
  stages,
  studentNetwork,
  teacherNetwork,
  toNetwork,
  writeCheckpoint,
  type Network,
  type NetworkSpecification,
} from '../src/index.ts'
import { quantiseWeights } from '../src/onnx-weights.ts'

const mobileNet = studentNetwork({ ...STUDENT, backbone: BACKBONES.mobilenetV2 })

/** The tensors of one part as a published file has them; equal values save time. */
function publishedForm(network: Network, part: string, value = 0.5): Map<string, Tensor> {
  const tensors = new Map<string, Tensor>()
  for (const { name, shape } of describeNetwork(network).parameters) {
    if (!name.startsWith(`${part}.`)) continue
    const size = shape.reduce((product, n) => product * n, 1)
    const values = new Float32Array(size).fill(value)
    tensors.set(name.slice(part.length + 1), float32Tensor(shape, values))
  }
  return tensors
}

const scalar = (value = 0) => float32Tensor([1], Float32Array.of(value))

async function run(name: string, ...argv: string[]) {
  const events: Record<string, unknown>[] = []
  const log = {
    ...silentLog,
    event: (event: string, fields?: object) => void events.push({ event, ...fields }),
    warn: (message: string) => void events.push({ event: 'warning', message }),
  }
  const stage = stages.find(s => s.name === name)!
  const terminal = { log, signal: new AbortController().signal }
  const code = await runStage(stage, argv, terminal, () => {})
  return { code, events, message: String(events.at(-1)?.['message']) }
}

/** Imports tensors from a file of that name. */
async function importTensors(dir: string, name: string, tensors: StateDict, into = 'student') {
  const file = join(dir, name)
  await writeFile(file, encodeSafetensors(tensors))
  const out = join(dir, 'weights')
  const result = await run('models import', `--weights=${file}`, `--into=${into}`, `--out=${out}`)
  return { ...result, file, out }
}

t.test('published names are found out, fitted, and written with their source', async t => {
  const tensors = publishedForm(mobileNet, 'backbone')
  tensors.set('classifier.1.weight', scalar())
  tensors.set('features.0.1.num_batches_tracked', scalar())
  const name = 'mobilenet_v2-b0353104.pth'
  const { code, events, file, out } = await importTensors(t.testdir(), name, tensors)
  t.equal(code, 0)
  t.match(events[0], { of: 'mobilenet-v2', used: 260, ignored: 1, missing: 0 })
  t.equal(events[0]!['ignoredParts'], 'classifier.1 1')
  t.match(events[1], { event: 'warning', message: /promises a sha256 that starts with b0353104/ })
  t.same(await readdir(out), ['mobilenet-v2.safetensors'], 'nothing half-written is left')
  const written = decodeSafetensors(await readFile(`${out}/mobilenet-v2.safetensors`), 'written')
  t.equal(written.tensors.size, 260)
  t.same(written.tensors.get('backbone.features.0.0.weight')!.shape, [32, 3, 3, 3])
  const { source, sha256: digest, licence, model } = Object.fromEntries(written.metadata)
  t.equal(source, name)
  t.equal(model, 'mobilenet-v2')
  t.equal(digest, sha256(await readFile(file)))
  t.match(licence, /BSD-3-Clause .torchvision.; trained on ImageNet/)
})

t.test('a FaceNet file goes into the teacher only', async t => {
  const tensors = publishedForm(teacherNetwork(), 'trunk')
  for (const left of ['mixed_7a.branch0.0.conv.weight', 'block8.conv2d.bias', 'logits.bias'])
    tensors.set(left, scalar())
  const dir = t.testdir()
  const { code, message } = await importTensors(dir, 'casia.pt', tensors)
  t.equal(code, 1)
  t.equal(
    message,
    `${dir}/casia.pt: holds inception-resnet-v1, which starts a teacher; use --into=teacher`,
  )
  const right = await importTensors(dir, 'casia.pt', tensors, 'teacher')
  t.equal(right.code, 0)
  t.match(right.events[0], { of: 'inception-resnet-v1', ignored: 3, missing: 0 })
  t.same(await readdir(right.out), ['inception-resnet-v1.safetensors'])
})

t.test('the four published networks are told apart by their names', async t => {
  const told = (network: Network, part: string) =>
    recogniseWeights(publishedForm(network, part))?.name
  t.equal(told(teacherNetwork(), 'trunk'), 'inception-resnet-v1')
  const kinds = { densenet201: 'densenet201', resnet50: 'resnet50', mobilenetV2: 'mobilenet-v2' }
  for (const [kind, name] of Object.entries(kinds)) {
    const backbone = BACKBONES[kind as keyof typeof BACKBONES]
    t.equal(told(studentNetwork({ ...STUDENT, backbone }), 'backbone'), name)
    t.equal(publishedFor({ kind: 'student', ...STUDENT, backbone }).name, name)
  }
})

t.test('what does not fit is refused, and nothing is written', async t => {
  const refusal = async (change: (tensors: Map<string, Tensor>) => void, ...argv: string[]) => {
    const dir = t.testdir()
    const tensors = publishedForm(mobileNet, 'backbone')
    change(tensors)
    await writeFile(`${dir}/x.pth`, encodeSafetensors(tensors))
    const places = [`--weights=${dir}/x.pth`, '--into=student', `--out=${dir}/weights`]
    const { code, message } = await run('models import', ...places, ...argv)
    t.equal(code, 1)
    t.same(await readdir(dir), ['x.pth'])
    return message.replace(`${dir}/`, '')
  }
  t.equal(
    await refusal(tensors => tensors.set('features.0.0.weight', scalar())),
    'x.pth: features.0.0.weight is [1], expected [32,3,3,3]',
    'a wrong shape',
  )
  t.equal(
    await refusal(tensors => {
      tensors.delete('features.18.1.bias')
      tensors.delete('features.18.0.weight')
    }),
    'x.pth: lacks 2 of 260 tensors of mobilenet-v2, first is backbone.features.18.0.weight; ' +
      'wanted mobilenet_v2-b0353104.pth (the ImageNet weights of torchvision)',
    'a tensor too few',
  )
  t.match(
    await refusal(tensors => tensors.set('features.19.0.weight', scalar())),
    /^x.pth: 1 tensors have no place in mobilenet-v2, first is features.19.0.weight; this is a larg/,
    'a deeper network of the family',
  )
  t.equal(
    await refusal(tensors => (tensors.get('features.0.1.bias')!.values[7] = NaN)),
    'x.pth: backbone.features.0.1.bias holds NaN, wanted finite values; fetch the file again',
    'a damaged value',
  )
  t.match(
    await refusal(() => {}, '--backbone=densenet201'),
    /^x.pth: none of 260 tensors fits backbone of student, .*; expected torchvision DenseNet weights$/,
    'the wrong backbone by name',
  )
  t.equal(
    await refusal(tensors => {
      tensors.clear()
      tensors.set('encoder.bias', scalar())
    }),
    'x.pth: 1 tensors of an unknown network, first is encoder.bias; known are ' +
      'densenet201: densenet201-c1103571.pth (the ImageNet weights of torchvision); ' +
      'resnet50: resnet50-0676ba61.pth (the ImageNet weights of torchvision); ' +
      'mobilenet-v2: mobilenet_v2-b0353104.pth (the ImageNet weights of torchvision)',
    'an unknown network',
  )
})

t.test('a missing file is answered with where to get it', async t => {
  const path = `${t.testdir()}/none.pt`
  const { code, message } = await run('models import', `--weights=${path}`, '--into=teacher')
  t.equal(code, 1)
  t.equal(
    message,
    `${path}: no such file; a teacher starts from inception-resnet-v1: ` +
      '20180402-114759-vggface2.pt or 20180408-102900-casia-webface.pt ' +
      '(the releases (v2.2.9) of timesler/facenet-pytorch)',
  )
})

const tiny: NetworkSpecification = {
  kind: 'student',
  ...STUDENT,
  backbone: { kind: 'densenet', growth: 4, blocks: [1, 2], stem: 8, bottleneck: 2 },
  embedding: 6,
  size: 32,
}

const terms = [{ licence: 'drawn', consent: 'none needed', contact: '' }]

async function drawCheckpoint(dir: string): Promise<string> {
  const out = join(dir, 'checkpoint')
  const work = { stage: 'draw', behaviour: 1, identity: {}, inputs: [], terms }
  const state = formulaWeights(toNetwork(tiny), 'export.')
  await writeArtifact({ ...work, out, kind: 'checkpoint' }, silentLog, write =>
    writeCheckpoint(write, tiny, state),
  )
  return out
}

t.test('a checkpoint becomes a model with its contract beside it', async t => {
  const dir = t.testdir()
  const checkpoint = await drawCheckpoint(dir)
  const { code } = await run('models export', `--checkpoint=${checkpoint}`, `--out=${dir}/model`)
  t.equal(code, 0)
  const names = ['MODEL_CARD.md', 'contract.json', 'student.int8.onnx', 'student.onnx']
  t.same((await readdir(`${dir}/model`)).sort(), names)
  const contract: unknown = JSON.parse(await readFile(`${dir}/model/contract.json`, 'utf8'))
  t.match(contract, {
    file: 'student.onnx',
    input: { name: 'image', type: 'uint8', layout: 'nhwc', size: [32, 32] },
    outputs: { embedding: { width: 6 }, expression: { width: 8 }, fec: { width: 32 } },
    labels: ['neutral', 'happy', 'sad', 'surprise', 'fear', 'disgust', 'anger', 'contempt'],
    checkpoint: (await openArtifact(checkpoint, 'checkpoint')).digest,
    terms,
  })
  const session = await openSession(await readFile(`${dir}/model/student.onnx`), { threads: 1 })
  t.same(session.outputs, ['embedding', 'expression', 'fec'])
  await session.close()
})

t.test('--out names the file; type, layout and labels can be others', async t => {
  const dir = t.testdir()
  const checkpoint = await drawCheckpoint(dir)
  const places = [`--checkpoint=${checkpoint}`, `--out=${dir}/a.onnx`]
  const form = ['--type=float32', '--layout=nchw', '--labels=a,b,c,d,e,f,g,h']
  t.equal((await run('models export', ...places, ...form)).code, 0)
  t.match(JSON.parse(await readFile(`${dir}/contract.json`, 'utf8')), {
    file: 'a.onnx',
    input: { type: 'float32', layout: 'nchw' },
    labels: ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'],
  })
  const { code, message } = await run('models export', ...places, '--labels=a,b')
  t.equal(code, 2)
  t.equal(message, 'student: 2 labels for 8 expression classes; name each class')
})

t.test('a write that fails leaves what was there', async t => {
  const dir = t.testdir({ 'a.onnx': { file: 'in the way' } })
  const checkpoint = await drawCheckpoint(dir)
  const argv = [`--checkpoint=${checkpoint}`, `--out=${dir}/a.onnx`]
  t.equal((await run('models export', ...argv)).code, 1)
  t.same((await readdir(dir)).sort(), ['a.onnx', 'checkpoint'])
  t.same(await readdir(`${dir}/a.onnx`), ['file'])
})

/** A report artifact of a model, with markup in its title. */
async function drawReport(dir: string, name: string, role: string, digest: string, extractor = '') {
  const out = join(dir, name)
  const work = { stage: 'eval raf', behaviour: 1, identity: {}, inputs: [] }
  const headline = {
    ...{ label: 'Accuracy', value: 0.5, n: 40, note: 'drawn' },
    interval: { low: 0.35, high: 0.65, level: 0.95, resamples: 1000 },
  }
  const titles = { title: 'Probe <b>|</b>', banner: 'Drawn data', extractor }
  const report = { report: 2, ...titles, headline, beside: [], digests: { [role]: digest } }
  await writeArtifact({ ...work, out, kind: 'report' }, silentLog, write =>
    write.file('report.json', JSON.stringify(report)),
  )
  return out
}

t.test('the card has data, protocol and scores, or says that nothing was measured', async t => {
  const dir = t.testdir()
  const checkpoint = await drawCheckpoint(dir)
  const argv = [`--checkpoint=${checkpoint}`, `--out=${dir}/model`]
  const readCard = () => readFile(`${dir}/model/MODEL_CARD.md`, 'utf8')
  t.equal((await run('models export', ...argv)).code, 0)
  const bare = await readCard()
  t.match(bare, /Not measured: no report was given/)
  t.match(bare, /Terms over all inputs: licence drawn; consent none needed\./)
  t.match(bare, /on 64 crops \(uniform noise, not faces\)/)
  t.match(bare, /infers emotions of people at work or in education, .* article 5\(1\)\(f\)/)

  const digest = (await openArtifact(checkpoint, 'checkpoint')).digest
  const small = `${dir}/model/student.int8.onnx`
  const own = await drawReport(dir, 'own', 'checkpoint', digest)
  const ofSmall = await drawReport(dir, 'small', 'onnx', 'any', small)
  t.equal((await run('models export', ...argv, `--reports=${own},${ofSmall}`)).code, 0)
  const card = await readCard()
  const row = '| Accuracy | 50.0 % | 35.0 % to 65.0 % (95 %) | 40 | drawn |'
  const title = String.raw`Probe \<b\>\|\</b\>`
  t.ok(card.includes(`| ${title} | checkpoint ${row}`), 'a score with its interval')
  t.ok(card.includes(`| ${title} | student.int8.onnx ${row}`), 'the form that was judged')
  t.ok(card.includes(`| probe accuracy | ${title}: 50.0 % (float32: 50.0 %) |`))
  t.match(card, /\*\*Drawn data\*\*/)

  const foreign = await drawReport(dir, 'foreign', 'checkpoint', 'f'.repeat(64), 'other')
  const { code, message } = await run('models export', ...argv, `--reports=${foreign}`)
  t.equal(code, 1)
  t.match(
    message,
    /foreign: judged other, wanted the checkpoint [0-9a-f]{12} or a file exported from/,
  )
})

t.test('uint8 weights lie within half a step of the exact ones, and run', async t => {
  const values = Float32Array.from({ length: 2048 }, (_, i) => Math.sin(i) * (i < 1024 ? 1 : 0.01))
  const input = { name: 'x', type: 'float32', shape: ['n', 1024] } as const
  const model = {
    ...{ name: 'm', inputs: [input], outputs: [{ ...input, name: 'y', shape: ['n', 2] }] },
    nodes: [{ op: 'Gemm', inputs: ['x', 'w'], outputs: ['y'], attributes: { transB: 1 } }],
    constants: [{ name: 'w', shape: [2, 1024], values }],
  } as const
  const small = writeOnnxModel({ ...model, ...quantiseWeights(model.nodes, model.constants) })
  t.ok(small.length < 0.35 * writeOnnxModel(model).length)
  const session = await openSession<'y'>(small, { threads: 1 })
  const eye = new Float32Array(1024 * 1024).map((_, i) => (i % 1025 === 0 ? 1 : 0))
  const { y } = await session.run({ x: { shape: [1024, 1024], values: eye } })
  await session.close()
  const off = (row: number) =>
    Math.max(
      ...Array.from({ length: 1024 }, (_, i) =>
        Math.abs(y.values[i * 2 + row]! - values[row * 1024 + i]!),
      ),
    )
  t.ok(off(0) <= 0.501 * (2 / 255), `first row: ${off(0)}`)
  t.ok(off(1) <= 0.501 * (0.02 / 255), `second row has a scale of its own: ${off(1)}`)
  t.ok(off(1) > 0, 'it is quantised')
})
