// tap: test/extract.test.ts covers src/*.ts, src/stages/*.ts
import { appendFile, cp, link, mkdir, readFile, readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { openRandom, runStage, silentLog, uniforms, type Log, type Stage } from '@deepfever/core'
import { stages as detectStages } from '@deepfever/detect'
import { openFaces, storeFeatures } from '@deepfever/eval'
import {
  decodeShard,
  defineTable,
  encodeShard,
  features,
  openArtifact,
  readVectors,
} from '@deepfever/formats'
import {
  collectFfmpeg,
  decodeCrop,
  encodeJpeg,
  findFfmpeg,
  readPicture,
  resizePicture,
} from '@deepfever/media'
import {
  BACKBONES,
  STUDENT,
  exportModel,
  initialise,
  openOnnxExtractor,
  studentNetwork,
} from '@deepfever/models'
import { writeOnnxModel } from '@deepfever/runtime/onnx'
import t, { type Test } from 'tap'
import { openExtractor, searchVectors, stages, toVectorSet } from '../src/index.ts'

const photos = fileURLToPath(new URL('../../../datasets/demo/photos', import.meta.url))
const labels = ['neutral', 'happy', 'sad', 'surprise', 'fear', 'disgust', 'anger', 'contempt']

/** Runs a stage; `stopAt` is the number of inputs after which it is stopped as by Ctrl-C. */
async function run(name: string, ...given: (string | { readonly stopAt: number })[]) {
  const argv = given.filter(word => typeof word === 'string')
  const { stopAt } = given.find(word => typeof word === 'object') ?? { stopAt: Infinity }
  const stopping = new AbortController()
  let done = 0
  const stage = [...stages, ...detectStages].find(found => found.name === name) as unknown as Stage
  const said: string[] = []
  const log: Log = {
    ...silentLog,
    progress: () => ({
      advance: (count = 1) => void ((done += count) >= stopAt && stopping.abort()),
      done: () => {},
    }),
    event: (event, fields) =>
      void said.push(`${event} ${String(fields?.['message'] ?? fields?.['recall'] ?? '')}`),
  }
  const out = t.capture(process.stdout, 'write', () => true)
  const terminal = { log, signal: stopping.signal }
  const code = await runStage(stage, argv, terminal, text => t.comment(text))
  out.restore()
  return { code, said, out: out.args().join('') }
}

/** Two photographs in folders of classes, a clip of one, and a small model with its contract. */
async function prepare(t: Test) {
  const dir = t.testdir({ pictures: { a: {}, b: {} }, model: {} })
  await cp(join(photos, 'astronaut.png'), join(dir, 'pictures/a/astronaut.png'))
  await cp(join(photos, 'grace-hopper.jpg'), join(dir, 'pictures/b/grace-hopper.jpg'))
  const network = studentNetwork({ ...STUDENT, backbone: BACKBONES.mobilenetV2, size: 64 })
  const { onnx, contract } = exportModel(network, initialise(network, 1), { labels, licence: [] })
  const model = join(dir, 'model/student.onnx')
  await writeFile(model, onnx)
  await writeFile(join(dir, 'model/contract.json'), JSON.stringify(contract))
  return { dir, model, onnx }
}

async function vectorsOf(path: string, column: string): Promise<Map<string, Float32Array>> {
  const found = new Map<string, Float32Array>()
  for await (const { id, vector } of (await readVectors(path, 'faceId', column)).rows())
    found.set(id, vector)
  return found
}

t.test('features are those of the evaluation, bit for bit', async t => {
  const { dir, model } = await prepare(t)
  const out = join(dir, 'features.parquet')
  t.equal((await run('extract', join(dir, 'pictures'), `--model=${model}`, `--out=${out}`)).code, 0)
  const faces = join(dir, 'faces')
  const source = join(dir, 'pictures')
  t.equal((await run('detect folder', `--source=${source}`, `--out=${faces}`)).code, 0)
  const judged = await openOnnxExtractor(model, { contract: '', output: '', workers: 1 })
  const terminal = { log: silentLog, checkpoint: () => {} }
  const stored = await storeFeatures(await openFaces(faces), judged, join(dir, 'f'), 1, terminal)
  const wanted = []
  for await (const { vector } of stored.rows()) wanted.push(vector)
  await judged.close()
  const found = [...(await vectorsOf(out, 'embedding')).values()]
  t.equal(found.length, 2)
  t.ok(wanted[0]!.some(value => value !== 0))
  t.strictSame(found, wanted)
})

t.test('one answer in four forms; the library gives the same', async t => {
  const { dir, model } = await prepare(t)
  const file = (form: string) => join(dir, `features.${form}`)
  const words = [join(dir, 'pictures/b'), join(dir, 'pictures/a/astronaut.png')]
  const marked = `--annotate=${join(dir, 'marked')}`
  for (const form of ['parquet', 'arrow', 'csv', 'jsonl'])
    t.match(await run('extract', ...words, `--model=${model}`, `--out=${file(form)}`, marked), {
      code: 0,
    })
  const extractor = await openExtractor({ model })
  t.teardown(() => extractor.close())
  const picture = join(photos, 'grace-hopper.jpg')
  const [face] = await extractor.extract(await readFile(picture))
  t.strictSame((await extractor.extract(picture))[0]?.embedding, face!.embedding)
  t.strictSame([...(await vectorsOf(file('parquet'), 'embedding')).values()][0], face!.embedding)
  const table = defineTable(features.name, features.version, features.columns, 'arrow')
  const rows = []
  for await (const row of decodeShard(table, await readFile(file('arrow')), 'arrow')) rows.push(row)
  t.strictSame(Float32Array.from(rows[0]!.embedding), face!.embedding)
  t.strictSame(Float32Array.from(rows[0]!.fec), face!.fec)
  const line = (await readFile(file('jsonl'), 'utf8')).split('\n')[0]!
  const json = JSON.parse(line) as { embedding: number[]; expression: Record<string, number> }
  t.strictSame(Float32Array.from(json.embedding), face!.embedding)
  t.strictSame(Object.keys(json.expression), labels)
  const sum = Object.values(json.expression).reduce((a, b) => a + b)
  t.ok(Math.abs(sum - 1) < 1e-6, `${sum}`)
  const [header, first] = (await readFile(file('csv'), 'utf8')).split('\n')
  const at = header!.split(',').indexOf('embedding_0')
  t.equal(Number(first!.split(',')[at]), face!.embedding[0])
  t.match(header, 'expression_neutral')
  const drawn = await readdir(join(dir, 'marked'))
  t.equal(drawn.length, 2)
  const before = await readPicture(picture)
  const after = await readPicture(
    join(
      dir,
      'marked',
      drawn.find(name => /grace/.test(name))!,
    ),
  )
  t.strictSame([after.width, after.height], [before.width, before.height])
  const [x1, y1] = face!.box as unknown as [number, number]
  const pixel = (Math.round(y1 + 20) * after.width + Math.round(x1)) * 3
  const [red, green, blue] = after.data.subarray(pixel, pixel + 3)
  t.ok(red! > 180 && green! > 150 && blue! < 110, `a yellow edge: ${red} ${green} ${blue}`)
})

t.test('a clip: frames with their times; a broken one is counted', async t => {
  const { dir, model } = await prepare(t)
  const clip = join(dir, 'clip.mp4')
  const still = join(photos, 'grace-hopper.jpg')
  const loop = [
    '-loop',
    '1',
    '-t',
    '2',
    '-i',
    `file:${still}`,
    '-vf',
    'scale=480:-2',
    '-r',
    '10',
    '-frames:v',
    '20',
  ]
  await collectFfmpeg([...loop, '-y', `file:${clip}`], { ffmpeg: await findFfmpeg(), name: clip })
  const extractor = await openExtractor({ model })
  t.teardown(() => extractor.close())
  const times = []
  for await (const { ptsUs, faces } of extractor.extractClip(clip, { fps: 2 })) {
    times.push(ptsUs)
    t.equal(faces.length, 1)
  }
  t.strictSame(times, [0, 500_000, 1_000_000, 1_500_000])
  const broken = join(dir, 'broken.mp4')
  await writeFile(broken, 'no clip')
  const out = join(dir, 'f.jsonl')
  const ended = await run('extract', broken, clip, `--model=${model}`, `--out=${out}`)
  t.match(ended, { code: 0, said: ['ended early ', 'wrote '] })
})

t.test(
  "a contract for another's classifier: its features, probabilities of its logits",
  async t => {
    const contract = fileURLToPath(new URL('../contracts/emotieffnet-b0-8.json', import.meta.url))
    const classes = 8
    const weights = Float32Array.from({ length: classes * 3 }, (_, i) => Math.cos(i))
    const onnx = writeOnnxModel({
      name: 'classifier',
      inputs: [{ name: 'input', type: 'float32', shape: ['batch_size', 3, 224, 224] }],
      outputs: [{ name: 'output', type: 'float32', shape: ['batch_size', classes] }],
      constants: [
        { name: 'weight', shape: [classes, 3], values: weights },
        { name: 'bias', shape: [classes], values: new Float32Array(classes) },
      ],
      nodes: [
        { op: 'GlobalAveragePool', inputs: ['input'], outputs: ['pooled'] },
        { op: 'Flatten', inputs: ['pooled'], outputs: ['features'] },
        {
          ...{ op: 'Gemm', inputs: ['features', 'weight', 'bias'], outputs: ['output'] },
          attributes: { transB: 1 },
        },
      ],
    })
    const dir = t.testdir({ 'classifier.onnx': Buffer.from(onnx) })
    const extractor = await openExtractor({ model: join(dir, 'classifier.onnx'), contract })
    t.teardown(() => extractor.close())
    t.equal(extractor.labels[4], 'Happiness')
    const [face] = await extractor.extract(join(photos, 'grace-hopper.jpg'))
    const { data } = await decodeCrop(face!.crop, 224)
    const means = [0, 1, 2].map(c => {
      let sum = 0
      for (let i = c; i < data.length; i += 3) sum += data[i]! / 255
      return (sum / (224 * 224) - [0.485, 0.456, 0.406][c]!) / [0.229, 0.224, 0.225][c]!
    })
    t.equal(face!.embedding.length, 3)
    means.forEach((mean, c) => t.ok(Math.abs(face!.embedding[c]! - mean) < 1e-4, `channel ${c}`))
    const raised = Array.from({ length: classes }, (_, k) =>
      Math.exp(means.reduce((sum, mean, c) => sum + mean * weights[k * 3 + c]!, 0)),
    )
    const sum = raised.reduce((a, b) => a + b)
    raised.forEach((value, k) => t.ok(Math.abs(face!.expression![k]! - value / sum) < 1e-4))
    const pooled = JSON.parse(await readFile(contract, 'utf8')) as { outputs: object }
    const wrong = { ...pooled, outputs: { output: { feeds: 'features' } } }
    await writeFile(join(dir, 'contract.json'), JSON.stringify(wrong))
    await t.rejects(openExtractor({ model: join(dir, 'classifier.onnx') }), {
      message: /output features comes from Flatten, wanted Gemm/,
    })
  },
)

t.test('no contract, no input, no such form: what is wanted is said', async t => {
  const { dir, model, onnx } = await prepare(t)
  await mkdir(join(dir, 'bare'))
  const bare = join(dir, 'bare/model.onnx')
  await writeFile(bare, onnx)
  const out = `--out=${join(dir, 'f.csv')}`
  const without = await run('extract', photos, `--model=${bare}`, out)
  t.match(without, { code: 1, said: [/contract\.json: not readable, .*for example: \{"input"/] })
  t.match(await run('extract', photos, `--model=${bare}`, '--out=f.txt'), {
    code: 2,
    said: [/ends in \.txt, wanted \.parquet, \.arrow, \.csv, \.jsonl/],
  })
  t.match(await run('extract', 'nowhere.jpg', `--model=${model}`, out), {
    code: 2,
    said: [/nowhere\.jpg: not there/],
  })
  t.match(await run('info', bare), { code: 1, out: /outputs {2}embedding, expression, fec/ })
  t.match(await run('info', model), { code: 0, out: /"labels"/ })
})

t.test('similar: the nearest rows, exactly; itself left out', async t => {
  const { dir, model } = await prepare(t)
  const out = join(dir, 'features.parquet')
  await run('extract', join(dir, 'pictures'), `--model=${model}`, `--out=${out}`)
  const [first, second] = [...(await vectorsOf(out, 'embedding')).keys()]
  const known = await run('similar', first!, `--in=${out}`, '-k', '1')
  t.match(known, { code: 0 })
  t.ok(known.out.includes(second!), known.out)
  const picture = join(photos, 'astronaut.png')
  const { out: text } = await run('similar', picture, `--in=${out}`, `--model=${model}`)
  t.match(text, /^1\.000000 {2}.*astronaut\.png#0\n/)
  t.match(await run('similar', 'nobody', `--in=${out}`), {
    code: 2,
    said: ['loaded ', /no faceId in .*--model/],
  })

  const width = 7
  const values = Float32Array.from(uniforms('similar', 5000 * width), value => value - 0.5)
  const query = values.slice(70, 77)
  const cosine = (row: number) => {
    let [dot, a, b] = [0, 0, 0]
    for (let i = 0; i < width; i++) {
      dot += query[i]! * values[row * width + i]!
      a += query[i]! ** 2
      b += values[row * width + i]! ** 2
    }
    return dot / Math.sqrt(a * b)
  }
  const rows = Array.from({ length: 5000 }, (_, row) => row)
  const wanted = rows.sort((a, b) => cosine(b) - cosine(a)).slice(0, 20)
  const hits = searchVectors(toVectorSet(values, width), query, 20)
  t.strictSame(
    hits.map(({ row }) => row),
    wanted,
  )
})

/** A features file of 1,200 vectors around 40 directions in a plane of 4. */
async function writeFaces(path: string): Promise<void> {
  const random = openRandom('faces')
  const heads = Array.from({ length: 40 }, () => Array.from({ length: 4 }, () => random.normal()))
  const turn = Array.from({ length: 4 }, () => Array.from({ length: 16 }, () => random.normal()))
  const { faceId, embedding } = features.columns
  const table = defineTable(features.name, features.version, { faceId, embedding }, 'arrow')
  const rows = Array.from({ length: 1200 }, (_, i) => {
    const point = heads[i % 40]!.map(value => value + 0.2 * random.normal())
    const vector = Float32Array.from({ length: 16 }, (_, d) =>
      point.reduce((sum, value, j) => sum + value * turn[j]![d]!, 0),
    )
    return { faceId: `face ${i}`, embedding: vector }
  })
  await writeFile(path, await encodeShard(table, rows))
}

t.test('similar by codes: recall is said; kept codes and codebooks are used again', async t => {
  const dir = t.testdir({})
  const file = join(dir, 'f.arrow')
  const kept = join(dir, 'codes')
  await writeFaces(file)
  const recallOf = async (...argv: string[]) => {
    const { code, said, out } = await run('similar', 'face 7', '-k', '10', ...argv)
    t.equal(code, 0, said.join('\n'))
    const [, recall] = /^recall (.*)$/m.exec(said.join('\n')) ?? []
    return { recall: Number(recall), found: [...out.matchAll(/face \d+/g)].map(String) }
  }
  const exact = await recallOf(`--in=${file}`)
  t.equal(exact.found.length, 10)
  const few = await recallOf(`--in=${file}`, '--codes=1')
  const many = await recallOf(`--in=${file}`, '--codes=8', `--save=${kept}`)
  t.ok(few.recall < many.recall && many.recall > 0.8, `${few.recall}, ${many.recall}`)
  const both = exact.found.filter(id => many.found.includes(id))
  t.ok(both.length >= 7, `${both.length} of the exact ones`)
  const { manifest } = await openArtifact(kept, 'codes')
  t.match(manifest, { identity: { codes: 8, seed: 1 }, metadata: { width: 16, bytes: 8 } })
  t.notOk('query' in manifest.identity, 'codes do not depend on what is looked for')
  const again = await recallOf(`--in=${kept}`)
  t.ok(again.found.filter(id => exact.found.includes(id)).length >= 6)
  t.ok(Number.isNaN(again.recall), 'without embeddings there is nothing to compare with')
  const book = await recallOf(`--in=${file}`, `--codebook=${kept}`)
  t.equal(book.recall, many.recall)
  for (const [argv, message] of [
    [[`--in=${kept}`, '--codes=4'], /holds codes already/],
    [[`--in=${file}`, `--save=${kept}`], /give --codes=BYTES/],
    [[`--in=${file}`, '--codes=5'], /5 parts, wanted a divisor of 16/],
  ] as const) {
    const { code, said } = await run('similar', 'face 7', ...argv)
    t.equal(code, 2)
    t.match(said.at(-1), message)
  }
  await appendFile(join(kept, 'codebook.safetensors'), ' ')
  t.match(await run('similar', 'face 7', `--in=${kept}`), { code: 1 })
})

t.test('a run that was stopped goes on, and gives the file of one that was not', async t => {
  const { dir, model, onnx } = await prepare(t)
  const { input, ...contract } = JSON.parse(
    await readFile(join(dir, 'model/contract.json'), 'utf8'),
  ) as { readonly input: object }
  const blocksOfTwo = JSON.stringify({ input: { ...input, batch: 2 }, ...contract })
  await writeFile(join(dir, 'model/contract.json'), blocksOfTwo)
  await mkdir(join(dir, 'many'))
  const photo = await readPicture(join(photos, 'grace-hopper.jpg'))
  await writeFile(
    join(dir, 'many/0.jpg'),
    await encodeJpeg(await resizePicture(photo, 240, 300, 'linear')),
  )
  for (let i = 1; i < 6; i++) await link(join(dir, 'many/0.jpg'), join(dir, 'many', `${i}.jpg`))
  for (const form of ['parquet', 'jsonl']) {
    const words = (out: string) => [join(dir, 'many'), `--model=${model}`, `--out=${out}`]
    const [whole, other] = [join(dir, `whole.${form}`), join(dir, `other.${form}`)]
    t.match(await run('extract', ...words(whole)), { code: 0 })
    // Behind the first block, within the second.
    const stopped = await run('extract', { stopAt: 3 }, ...words(other))
    t.match(stopped, { code: 1, said: [/^failed stopped; the same command goes on/] })
    t.strictSame(await readdir(`${other}.work`), ['part-00000.arrow', 'state.json'])
    await writeFile(`${other}.123.part`, 'of a killed run')
    t.match(await run('extract', ...words(other)), { code: 0, said: ['going on ', 'wrote '] })
    t.ok((await readFile(whole)).equals(await readFile(other)), `${form}: the same bytes`)
  }
  t.strictSame(
    (await readdir(dir)).filter(name => /work|part$/.test(name)),
    [],
  )
  // Of another model, nothing is gone on with.
  const out = join(dir, 'f.csv')
  const words = [join(dir, 'many'), `--model=${model}`, `--out=${out}`]
  t.match(await run('extract', { stopAt: 3 }, ...words), { code: 1 })
  await writeFile(model, Buffer.concat([onnx, Buffer.of(0x3a, 0)]))
  t.match(await run('extract', ...words), { code: 0, said: ['wrote '] })
})

t.test('an Arrow file is read by batches; what lacks in one is named', async t => {
  const dir = t.testdir({ 'text.arrow': 'no arrow' })
  const file = join(dir, 'f.arrow')
  await writeFaces(file)
  const { rowCount, rows } = await readVectors(file, 'faceId', 'embedding')
  t.equal(rowCount, 1200)
  const found = []
  for await (const { id } of rows()) found.push(id)
  t.match([found.length, found[700]], [1200, 'face 700'])
  await t.rejects(readVectors(file, 'faceId', 'fec'), {
    message: /f\.arrow: found columns faceId: Utf8, embedding: .*, wanted an Arrow file with .*fec/,
  })
  await t.rejects(readVectors(join(dir, 'text.arrow'), 'faceId', 'embedding'), {
    message: /text\.arrow: found .*, wanted an Arrow file/,
  })
})
