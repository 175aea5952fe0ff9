// tap: test/folder.test.ts covers src/face-set.ts src/feature-store.ts src/parts.ts src/estimate.ts src/stages/folder.ts
import { cp, mkdir, readdir, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { openRandom, runStage, silentLog, type Log, type Stage } from '@deepfever/core'
import { embeddings, encodeShard, judgements, openArtifact, readVectors } from '@deepfever/formats'
import { encodeJpeg } from '@deepfever/media'
import { parseContract } from '@deepfever/models'
import { writeOnnxModel } from '@deepfever/runtime/onnx'
import t, { type Test } from 'tap'
import { estimatePairs } from '../src/estimate.ts'
import type { Report } from '../src/report.ts'
import { stages } from '../src/stages/index.ts'

const stage = stages.find(({ name }) => name === 'eval folder') as unknown as Stage

async function run(options: Readonly<Record<string, string>>) {
  const said: string[] = []
  const log: Log = {
    ...silentLog,
    event: (event, fields) => void said.push([event, fields?.['message']].join(' ').trim()),
  }
  const cache = join(t.testdirName, 'cache')
  const flags = Object.entries({ cache, ...options }).map(([key, value]) => `--${key}=${value}`)
  const terminal = { log, signal: new AbortController().signal }
  return { code: await runStage(stage, flags, terminal, text => t.comment(text)), said }
}

async function read(out: string) {
  const artifact = await openArtifact(out, 'report')
  const report = JSON.parse(Buffer.from(await artifact.file('report.json')).toString()) as Report
  const rows = []
  for await (const row of artifact.rows(judgements)) rows.push(row)
  return { report, rows, digest: artifact.digest }
}

/** Twelve people of two classes: red and blue pictures, each of its own pattern. */
async function drawFolder(t: Test): Promise<string> {
  const draw = async (person: number, label: number) => {
    const random = openRandom(`folder/${person}/${label}`)
    const data = new Uint8Array(48 * 48 * 3)
    for (let i = 0; i < data.length; i++)
      data[i] = random.below(90) + (i % 3 === (label ? 0 : 2) ? 150 : 0)
    return Buffer.from(await encodeJpeg({ width: 48, height: 48, data }))
  }
  const people = Array.from({ length: 12 }, (_, i) => String(i).padStart(3, '0'))
  const pictures = async (label: number) =>
    Object.fromEntries(
      await Promise.all(people.map(async (name, i) => [`${name}_a.jpg`, await draw(i, label)])),
    ) as Record<string, Buffer>
  const cut = (await draw(0, 0)).subarray(0, 300)
  return t.testdir({
    pictures: {
      blue: { ...(await pictures(0)), '000_cut.jpg': cut, '011_cut.jpg': cut },
      red: await pictures(1),
    },
    model: {},
  })
}

/** A foreign model: one picture at a time, planes first, BGR, scaled outside; mean of each plane. */
async function writeModel(dir: string): Promise<{ onnx: string; contract: object }> {
  const onnx = join(dir, 'model/planes.onnx')
  const bytes = writeOnnxModel({
    name: 'planes',
    inputs: [{ name: 'data', type: 'float32', shape: [1, 3, 16, 16] }],
    outputs: [{ name: 'planes', type: 'float32', shape: [1, 3, 1, 1] }],
    constants: [],
    nodes: [{ op: 'GlobalAveragePool', inputs: ['data'], outputs: ['planes'] }],
  })
  await writeFile(onnx, bytes)
  const contract = {
    input: {
      ...{ name: 'data', type: 'float32', layout: 'nchw', size: [16, 16], batch: 1 },
      channelOrder: 'BGR',
      normalisation: { mean: [100, 100, 100], std: [50, 50, 50], applied: 'outside' },
    },
    outputs: { planes: { width: 3 } },
  }
  await writeFile(join(dir, 'model/contract.json'), JSON.stringify(contract))
  return { onnx, contract }
}

t.test('a foreign ONNX file is judged by its contract; people stay on one side', async t => {
  const dir = await drawFolder(t)
  const { onnx } = await writeModel(dir)
  const [source, out, cache] = [join(dir, 'pictures'), join(dir, 'out'), join(dir, 'features')]
  const options = { source, out, cache, onnx, group: '^[^_]+' }
  t.same(await run(options), { code: 0, said: ['wrote', 'wrote', 'result', 'wrote'] })
  const { report, rows, digest } = await read(out)
  t.equal(report.headline.value, 1, 'colours are easy')
  const cutInTest = report.headline.whole!.n - report.headline.n!
  t.ok(cutInTest >= 1, 'a broken picture is wrong in the whole split')
  t.equal(report.headline.whole!.value, report.headline.n! / report.headline.whole!.n)
  t.match(report.ledger.rejects, { truncated_picture: { count: 2 } })
  t.equal(rows.length, 12, 'half of the people, two pictures each')
  const people = rows.map(({ id }) => /(\d+)_/.exec(id)![1])
  t.equal(new Set(people).size, 6)

  const [features] = (await readdir(cache)).filter(name => !name.startsWith('pictures'))
  const store = await openArtifact(join(cache, features!), 'features')
  for await (const { faceId, vector } of store.rows(embeddings)) {
    const [blue, , red] = vector as unknown as [number, number, number]
    t.equal(red > blue, faceId.includes(':red/'), 'BGR, scaled')
    t.ok(Math.abs(Math.max(red, blue) - 1.9) < 0.4, `(194 - 100) / 50, found ${red} and ${blue}`)
  }
  const made = (await stat(join(cache, features!, 'manifest.json'))).mtimeMs
  await rm(out, { recursive: true })
  t.equal((await run({ ...options, workers: '1' })).code, 0)
  t.equal((await stat(join(cache, features!, 'manifest.json'))).mtimeMs, made, 'vectors were kept')
  t.equal((await read(out)).digest, digest, 'and give the same bytes')

  // Vectors of another program: as kept above, but of half of the faces.
  const vectors = join(dir, 'vectors.parquet')
  const kept = []
  for await (const row of store.rows(embeddings)) if (!row.faceId.includes('003')) kept.push(row)
  await writeFile(vectors, await encodeShard(embeddings, kept))
  const own = join(dir, 'own')
  t.equal((await run({ source, out: own, features: vectors, group: '^[^_]+' })).code, 0)
  const other = await read(own)
  t.match(other.report.ledger.rejects, { no_vector: { count: 2 } })
  t.equal(other.report.headline.value, 1)
})

t.test('what does not fit is refused with the field and an example', async t => {
  const dir = await drawFolder(t)
  const { onnx, contract } = await writeModel(dir)
  const [source, out] = [join(dir, 'pictures'), join(dir, 'out')]
  const failing = async (options: Record<string, string>, message: RegExp) => {
    const { code, said } = await run({ out, ...options })
    t.ok(code > 0)
    t.match(said.at(-1), message)
  }
  await failing({ source }, /give one of --student .* none given/)
  await failing({ source, onnx, features: 'x' }, /give one of .* 2 given/)
  await failing({ onnx }, /give one of --source and --faces: none/)
  await failing({ source, onnx, group: '(' }, /--group: \( is no regular expression/)
  await failing({ source, onnx, group: 'x+' }, /--group: x\+ does not meet 000_a.jpg/)
  await failing(
    { source, onnx, output: 'nothing' },
    /outputs is \["planes"\], wanted one named noth/,
  )
  await failing({ source, onnx: join(dir, 'none/x.onnx') }, /x.onnx: not readable, wanted an ONNX/)
  await mkdir(join(dir, 'bare'))
  await cp(onnx, join(dir, 'bare/x.onnx'))
  await failing({ source, onnx: join(dir, 'bare/x.onnx') }, /contract.json: not readable/)
  await failing({ source, features: onnx }, /planes.onnx: found .* wanted a Parquet file/)
  const parse = (change: object) => () =>
    parseContract(JSON.stringify({ ...contract, ...change }), 'contract.json', '')
  const input = (contract as { input: object }).input
  for (const [change, message] of [
    [{ input: { ...input, layout: 'hwc' } }, /input.layout is "hwc", wanted nchw or nhwc; for ex/],
    [{ input: { ...input, size: [16, 20] } }, /input.size is \[16,20\], wanted \[height, width\]/],
    [{ input: { ...input, channelOrder: undefined } }, /input.channelOrder is missing, wanted RGB/],
    [{ input: { ...input, type: 'uint8' } }, /input.type is "uint8", wanted float32/],
    [{ input: { ...input, batch: 0 } }, /input.batch is 0/],
    [{ outputs: {} }, /outputs is \[\], wanted one named embedding/],
  ] as const)
    t.throws(parse(change), { name: 'FormatError', message })
  t.throws(() => parseContract('{', 'contract.json', ''), { message: /the file is .* wanted JSON/ })
})

t.test('rates as pairs: entries without a face count as wrong on the whole split', t => {
  const judged = { labels: Int32Array.of(0, 0, 1, 1), predicted: Int32Array.of(0, 1, 1, 1) }
  const pairs = estimatePairs(judged, Int32Array.of(1, 1, 1, 1), 3, 'seed')
  t.equal(pairs.accuracy.value, 3 / 4)
  t.equal(pairs.accuracy.whole.value, 3 / 8)
  t.equal(pairs.balancedAccuracy.value, (1 / 2 + 1) / 2)
  t.equal(pairs.balancedAccuracy.whole.value, (1 / 2 + 2 / 6) / 2)
  t.equal(pairs.f1.value, (2 / 3 + 4 / 5) / 2)
  t.ok(pairs.accuracy.interval!.low < 3 / 4 && pairs.accuracy.interval!.high > 3 / 4)
  t.same(estimatePairs(judged, Int32Array.of(1, 1, 1, 1), 3, 'seed'), pairs, 'seeded')
  const none = { labels: new Int32Array(0), predicted: new Int32Array(0) }
  t.equal(estimatePairs(none, Int32Array.of(1), 3, 'seed').accuracy.value, null)
  t.equal(estimatePairs(none, Int32Array.of(1), 3, 'seed').accuracy.whole.value, 0)
  t.end()
})

t.test('a vector file of other faces, or with a face twice, is refused', async t => {
  const dir = await drawFolder(t)
  const [source, features] = [join(dir, 'pictures'), join(dir, 'vectors.parquet')]
  const put = async (...ids: string[]) => {
    const rows = ids.map(faceId => ({ faceId, label: 0, split: '', vector: Float32Array.of(1) }))
    await writeFile(features, await encodeShard(embeddings, rows))
    return (await run({ source, features, out: join(dir, 'out') })).said.at(-1)
  }
  t.match(
    await put('1.jpg', '2.jpg'),
    /vectors.parquet: found ids such as 1.jpg, wanted ids of the faces of .*folder:blue\/000_a.jpg/,
  )
  t.match(
    await put('folder:blue/000_a.jpg', 'folder:blue/000_a.jpg'),
    /found folder:blue\/000_a.jpg in two rows, wanted one vector a face; drop the duplicates/,
  )
})

t.test('a vector file whose vectors are not alike is refused', async t => {
  const dir = t.testdir({})
  const row = { faceId: 'a', label: 0, split: 'test' }
  const place = join(dir, 'ragged.parquet')
  const rows = [
    { ...row, vector: Float32Array.of(1, 2) },
    { ...row, faceId: 'b', vector: Float32Array.of(1, 2, 3) },
  ]
  await writeFile(place, await encodeShard(embeddings, rows))
  const file = await readVectors(place, 'faceId', 'vector')
  await t.rejects(
    async () => {
      for await (const _ of file.rows()) await Promise.resolve()
    },
    { message: /ragged.parquet: found row 1: 3 numbers, wanted 2, as in row 0/ },
  )
  await t.rejects(readVectors(place, 'id', 'vector'), {
    message: /found columns faceId, vector, label, split, wanted a Parquet file with columns id/,
  })
})
