// tap: test/clips.test.ts covers src/ingest-detect.ts, src/clip-plan.ts, src/data-forget.ts, src/artifact-tree.ts, src/traces.ts
import { mkdir, readFile, readdir, rm, writeFile } from 'node:fs/promises'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { runStage, silentLog, type Log, type Stage } from '@deepfever/core'
import {
  embeddings,
  faces,
  openArtifact,
  readManifest,
  targets,
  uses,
  writeArtifact,
  type Face,
} from '@deepfever/formats'
import { collectFfmpeg, findFfmpeg } from '@deepfever/media'
import t from 'tap'
import { rooms } from '../src/rooms.ts'

interface Said {
  readonly name: string
  readonly fields: Readonly<Record<string, unknown>>
}

/** Runs a command in this process; gives its exit code and what it said. */
async function run(command: string, ...argv: string[]) {
  const said: Said[] = []
  const say = (name: string, fields: Readonly<Record<string, unknown>> = {}) =>
    void said.push({ name, fields })
  const log: Log = { ...silentLog, event: say, warn: (message, fields) => say(message, fields) }
  const { stages } = await rooms[command.split(' ')[0]!]!()
  const stage = stages.find(({ name }) => name === command) as unknown as Stage
  const terminal = { log, signal: new AbortController().signal }
  return { code: await runStage(stage, argv, terminal, () => {}), said }
}

const photo = fileURLToPath(new URL('../../../datasets/demo/photos/astronaut.png', import.meta.url))
const ffmpeg = await findFfmpeg()

/** Clips of a second that show a portrait, each in another light, and one that is none. */
async function makeClips(folder: string, names: readonly string[]) {
  for (const [i, name] of names.entries()) {
    const filter = `scale=320:320,eq=brightness='${-i / 20}-t/9':eval=frame,format=yuv420p`
    const picture = ['-loop', '1', '-framerate', '4', '-t', '1', '-i', photo, '-vf', filter]
    await collectFfmpeg([...picture, '-y', join(folder, name)], { ffmpeg, name })
  }
  await writeFile(join(folder, 'text.mp4'), 'no clip')
}

async function facesOf(out: string): Promise<Face[]> {
  const rows: Face[] = []
  for await (const row of (await openArtifact(out, 'faces')).rows(faces))
    rows.push({ ...row, crop: row.crop.slice() })
  return rows
}

t.test('one pass gives the faces of two, copies what it knows, and plans before', async t => {
  const dir = t.testdir({ clips: {} })
  const source = `--source=${dir}/clips`
  await makeClips(join(dir, 'clips'), ['a.mp4', 'b.mp4'])
  const out = join(dir, 'one')
  const planned = await run('ingest+detect clips', source, `--out=${out}`, '--plan', '--fps=2')
  t.match(planned.said.at(-1), {
    name: 'plan',
    fields: { clips: 3, 'done: new, changed, or made with other options': 3, frames: 4, faces: 4 },
  })
  t.match(planned.said.at(-1)!.fields.tried, '4 frames of 2 clips')
  t.notOk(existsSync(out), 'a plan does nothing')
  t.equal((await run('ingest+detect clips', source, `--out=${out}`, '--fps=2')).code, 0)
  t.equal((await run('ingest videos', source, `--out=${dir}/frames`, '--fps=2')).code, 0)
  const [frames, two] = [`--frames=${dir}/frames`, join(dir, 'two')]
  t.equal((await run('detect faces', frames, `--out=${two}`)).code, 0)
  const [one, other] = [await readManifest(out), await readManifest(two)]
  const sizeOf = (found: typeof one) =>
    Object.values(found!.manifest.tables)
      .flatMap(({ shards }) => shards)
      .reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)
  const { bytesInOnePass, bytesWithFramesOnDisk } = planned.said.at(-1)!.fields
  for (const [found, wanted] of [
    [bytesInOnePass, sizeOf(one)],
    [bytesWithFramesOnDisk, sizeOf(one) + sizeOf(await readManifest(`${dir}/frames`))],
  ] as const)
    t.ok(Number(found) < 1.5 * wanted && Number(found) > wanted / 1.5, `${found} for ${wanted}`)
  t.same(one?.manifest.tables, other?.manifest.tables, 'every byte of every table')
  t.same(one?.manifest.ledger, other?.manifest.ledger)
  t.match(one?.manifest.ledger, { outputs: 4, rejects: { undecodable_clip: { count: 1 } } })
  await makeClips(join(dir, 'clips'), ['a.mp4', 'b.mp4', 'c.mp4'])
  const again = await run('ingest+detect clips', source, `--out=${out}`, '--fps=2', '--plan')
  t.match(again.said.at(-1)?.fields, {
    'copied: unchanged since the earlier run': 3,
    'done: new, changed, or made with other options': 1,
  })
  t.equal((await run('ingest+detect clips', source, `--out=${out}`, '--fps=2')).code, 0)
  const fresh = join(dir, 'fresh')
  t.equal((await run('ingest+detect clips', source, `--out=${fresh}`, '--fps=2')).code, 0)
  t.equal((await readManifest(out))?.digest, (await readManifest(fresh))?.digest)
})

/** Every file below a folder. */
async function filesBelow(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true })
  return entries.filter(e => e.isFile()).map(e => join(e.parentPath, e.name))
}

t.test(
  'what is forgotten is found nowhere afterwards; checkpoints and exported models are named',
  async t => {
    const dir = t.testdir({ clips: {}, '.artifacts': {}, cache: { entry: '' } })
    const root = join(dir, '.artifacts')
    await makeClips(join(dir, 'clips'), ['a.mp4', 'b.mp4'])
    const place = (name: string) => join(root, name)
    const take = async (command: string, ...argv: string[]) =>
      t.equal((await run(command, ...argv)).code, 0, command)
    await take('ingest videos', `--source=${dir}/clips`, `--out=${place('frames')}`, '--fps=2')
    await take('detect faces', `--frames=${place('frames')}`, `--out=${place('faces')}`)
    await take('detect gallery', `--faces=${place('faces')}`, `--out=${place('gallery')}`)
    const rows = await facesOf(place('faces'))
    const digest = (await readManifest(place('faces')))!.digest
    const made = { stage: 'draw', behaviour: 1, identity: {}, inputs: [{ role: 'faces', digest }] }
    const spec = { ...made, out: place('targets'), kind: 'targets' }
    await writeArtifact(spec, silentLog, async write => {
      for (const { faceId } of rows)
        await write.append(targets, { faceId, view: 'plain', target: Float32Array.of(1) })
      write.accept(rows.length)
      await write.done('all', rows.length)
    })
    const times = { batches: 2, firstStep: 0, lastStep: 5 }
    const trained = { ...made, out: place('teacher'), kind: 'checkpoint', identity: { epochs: 1 } }
    await writeArtifact(trained, silentLog, async write => {
      await write.file('weights', 'numbers')
      for (const { faceId } of rows)
        await write.append(uses, { ...{ faceId, stream: 'unlabelled' }, ...times })
      await write.done('all', 0)
    })
    const checkpoint = (await readManifest(place('teacher')))!.digest
    const vectors = { ...made, out: place('features'), kind: 'features' }
    await writeArtifact(vectors, silentLog, async write => {
      for (const { faceId } of rows)
        await write.append(embeddings, { faceId, vector: Float32Array.of(1), label: 0, split: '' })
      write.accept(rows.length)
      await write.done('all', rows.length)
    })
    const gone = [{ role: 'faces', digest: '0'.repeat(64) }]
    for (const kind of ['gallery', 'checkpoint'])
      await writeArtifact(
        { ...made, inputs: gone, out: place(`old-${kind}`), kind },
        silentLog,
        w => w.file('page.html', kind === 'gallery' ? rows[0]!.crop : 'numbers'),
      )
    await mkdir(place('models'))
    const contract = JSON.stringify({ file: 'teacher.onnx', checkpoint })
    await writeFile(join(place('models'), 'contract.json'), contract)
    await mkdir(join(dir, 'elsewhere'))
    await writeFile(join(dir, 'elsewhere', 'contract.json'), contract)
    await writeFile(place('features.csv'), `faceId,x\n${rows[0]!.faceId},1\n`)
    await writeFile(place('others.csv'), `faceId,x\n${rows[1]!.faceId},1\n`)
    await writeFile(place('notes'), `about ${rows[0]!.faceId}`)
    await mkdir(place('faces.work'))
    const [first, second, third] = rows as [Face, Face, Face]
    await writeFile(join(place('faces.work'), 'half'), first.crop)
    await writeFile(join(dir, 'cache', 'entry'), first.crop)

    const clipId = third.faceId.split('@')[0]!
    t.not(clipId, first.faceId.split('@')[0], 'of another clip')
    const inClip = rows.filter(({ faceId }) => faceId.startsWith(`${clipId}@`))
    await writeFile(join(dir, 'forget.txt'), `${first.faceId}\n${clipId}\n`)
    const lost = [first, ...inClip]
    const holding = async (face: Uint8Array) => {
      const crop = Buffer.from(face)
      const found: string[] = []
      const base64 = crop.toString('base64')
      for (const file of [
        ...(await filesBelow(root)),
        ...(await filesBelow(join(dir, 'cache')).catch(() => [])),
      ]) {
        const bytes = await readFile(file)
        if (bytes.includes(crop) || bytes.includes(base64)) found.push(file)
      }
      return found
    }
    t.ok(
      (await holding(first.crop)).length >= 4,
      'shard, page, work folder and cache hold it before',
    )
    const words = [`--list=${dir}/forget.txt`, `--root=${root}`, `--cache=${dir}/cache`]
    words.push(`--models=${dir}/elsewhere`)
    const { code, said } = await run('data forget', ...words)
    t.equal(code, 0)
    const warned = (start: string) =>
      said.filter(({ name }) => name.startsWith(start)).map(({ fields }) => fields['path'])
    t.same(warned('names what'), [place('notes')], 'a file of another kind is left to its owner')
    await rm(place('notes'))
    t.same(warned('was trained on what stands no more'), [place('old-checkpoint')])
    await rm(place('old-checkpoint'), { recursive: true })
    t.notOk(existsSync(place('old-gallery')), 'a page of faces that stand no more')
    t.same(existsSync(place('features.csv')), false)
    t.ok(existsSync(place('others.csv')))
    t.equal((await openArtifact(place('features'), 'features')).manifest.ledger.outputs, 1)
    for (const { crop, faceId } of lost) {
      t.same(await holding(crop), [], faceId)
      for (const file of await filesBelow(root))
        if (!file.startsWith(place('teacher')))
          t.notOk((await readFile(file)).includes(faceId), `${faceId} in ${file}`)
    }
    t.same((await holding(second.crop)).length, 1, 'the others stay')
    t.same((await facesOf(place('faces'))).length, rows.length - lost.length)
    t.match((await openArtifact(place('targets'), 'targets')).manifest.ledger, {
      inputs: rows.length,
      rejects: { forgotten: { count: lost.length } },
    })
    t.notOk(existsSync(place('gallery')), 'a page is removed, not edited')
    t.match(
      said.find(({ name }) => name.startsWith('was trained on')),
      { fields: { path: place('teacher'), faces: lost.length } },
    )
    const exported = said.filter(({ name }) => name.startsWith('was exported from'))
    const listed = [place('models'), join(dir, 'elsewhere')].map(of => join(of, 'teacher.onnx'))
    t.same(
      exported.map(({ fields }) => fields['path']),
      listed,
    )
    const repeated = await run('data forget', ...words)
    t.same(
      repeated.said.map(({ name }) => name),
      [
        'was trained on what is forgotten; train it again',
        'was exported from such a checkpoint; export it again',
        'was exported from such a checkpoint; export it again',
        'done',
      ],
      'a checkpoint is named until it is replaced',
    )
    await rm(place('teacher'), { recursive: true })
    const again = await run('data forget', ...words)
    t.match(again.said.at(-1), { name: 'done', fields: { artifacts: 0 } }, 'nothing is left to do')
  },
)
