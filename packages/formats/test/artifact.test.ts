import { readFile, readdir, rm, truncate, utimes, writeFile } from 'node:fs/promises'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { silentLog, type Log } from '@deepfever/core'
import { openArtifact } from '../src/artifact.ts'
import { writeFolder } from '../src/durable.ts'
import { encodeEvent, encodeEventStart } from '../src/event-file.ts'
import { writeArtifact, type ArtifactSpec, type ArtifactWriter } from '../src/artifact-writer.ts'
import { takeLock } from '../src/lock.ts'
import { sha256 } from '../src/manifest.ts'
import { frames, targets, type Frame } from '../src/tables.ts'

const specOf = (out: string, more: Partial<ArtifactSpec> = {}): ArtifactSpec => ({
  out,
  kind: 'frames',
  stage: 'ingest videos',
  behaviour: 1,
  identity: { fps: 5 },
  inputs: [{ role: 'source', digest: 'ab' }],
  ...more,
})

const frameOf = (clip: string, index: number, sizeBytes = 10): Frame => ({
  frameId: `${clip}@${index}`,
  clipId: clip,
  clipName: `${clip}.mp4`,
  ptsUs: index * 200_000,
  index,
  width: 2,
  height: 2,
  image: new Uint8Array(sizeBytes).fill(index),
})

/** Writes `clips` of `count` frames; stops with an error before clip `failAt`. */
const clipsOf =
  (count: number, clips: number, failAt = Infinity, sizeBytes = 10) =>
  async (write: ArtifactWriter) => {
    for (let c = 0; c < clips; c++) {
      if (c === failAt) throw new Error('killed')
      const clip = `clip${c}`
      if (write.isDone(clip)) continue
      for (let i = 0; i < count; i++) await write.append(frames, frameOf(clip, i, sizeBytes))
      if (c % 3 === 2) write.reject('undecodable', clip)
      else write.accept()
      await write.done(clip)
    }
  }

const recorder = () => {
  const events: string[] = []
  const log: Log = { ...silentLog, event: name => void events.push(name) }
  return { log, events }
}

const contentOf = async (out: string) => {
  const names = (await readdir(out)).filter(name => name !== 'stats.json').sort()
  return Promise.all(names.map(async name => [name, sha256(await readFile(join(out, name)))]))
}

t.test('rows and files come back as written, and the second run is up to date', async t => {
  const out = join(t.testdir(), 'frames')
  const body = async (write: ArtifactWriter) => {
    await clipsOf(3, 4)(write)
    await write.append(targets, { faceId: 'a#0', view: 'plain', target: Float32Array.of(0.1, 2) })
    await write.file('note.txt', 'hello')
    write.describe({ blocks: ['a'] })
  }
  const manifest = await writeArtifact(specOf(out), silentLog, body)
  t.same(manifest.ledger, {
    inputs: 4,
    outputs: 3,
    rejects: { undecodable: { count: 1, example: 'clip2' } },
  })
  t.notOk(existsSync(`${out}.work`), 'the work folder goes on success')
  const artifact = await openArtifact(out, 'frames')
  const rows: Frame[] = []
  for await (const row of artifact.rows(frames)) rows.push(row)
  t.equal(rows.length, 12)
  t.same(
    { ...rows[4]!, image: [...rows[4]!.image] },
    { ...frameOf('clip1', 1), image: Array(10).fill(1) },
  )
  for await (const row of artifact.rows(targets)) t.same([...row.target], [Math.fround(0.1), 2])
  t.equal(Buffer.from(await artifact.file('note.txt')).toString(), 'hello')
  const { log, events } = recorder()
  await writeArtifact(specOf(out), log, () => Promise.reject(new Error('must not run')))
  t.same(events, ['up to date'])
  await utimes(join(out, 'note.txt'), 1, 1)
  await writeArtifact(specOf(out), log, () => Promise.reject(new Error('must not run')))
  t.same(events, ['up to date', 'up to date'], 'a touched file with its bytes is still whole')
})

t.test('other options, other inputs, another behaviour or --force run again', async t => {
  const out = join(t.testdir(), 'frames')
  let runs = 0
  const body = (write: ArtifactWriter) => {
    runs++
    return clipsOf(1, 1)(write)
  }
  await writeArtifact(specOf(out), silentLog, body)
  await writeArtifact(specOf(out, { identity: { fps: 6 } }), silentLog, body)
  await writeArtifact(specOf(out, { inputs: [] }), silentLog, body)
  await writeArtifact(specOf(out, { behaviour: 2 }), silentLog, body)
  await writeArtifact(specOf(out, { behaviour: 2, force: true }), silentLog, body)
  t.equal(runs, 5)
})

t.test(
  'a missing, cut or changed shard is noticed by the writer and named by the reader',
  async t => {
    const out = join(t.testdir(), 'frames')
    const shard = join(out, 'frames-00000.arrow')
    const damages: [string, RegExp, () => Promise<void>][] = [
      [
        'missing',
        /frames-00000\.arrow: is missing, wanted \d+ bytes; rebuild with: npx deepfever ingest videos/,
        () => rm(shard),
      ],
      [
        'cut',
        /ends 8 bytes early/,
        async () => truncate(shard, (await readFile(shard)).length - 8),
      ],
      [
        'changed',
        /sha256 .* its bytes were changed/,
        async () => {
          const data = await readFile(shard)
          data[100]! ^= 1
          await writeFile(shard, data)
        },
      ],
    ]
    for (const [name, message, damage] of damages) {
      await writeArtifact(specOf(out), silentLog, clipsOf(2, 2))
      await damage()
      const artifact = await openArtifact(out, 'frames')
      const read = async () => {
        for await (const row of artifact.rows(frames)) t.ok(row)
      }
      await t.rejects(read(), { name: 'FormatError', message }, name)
      const { log, events } = recorder()
      await writeArtifact(specOf(out), log, clipsOf(2, 2))
      t.same(events, ['wrote'], `${name}: written again`)
    }
  },
)

t.test(
  'an interrupted run goes on behind its last full shard and ends with the same bytes',
  async t => {
    const dir = t.testdir()
    const megabytes = 5 * 2 ** 20
    const whole = join(dir, 'whole')
    await writeArtifact(specOf(whole), silentLog, clipsOf(3, 9, Infinity, megabytes))
    const out = join(dir, 'resumed')
    await t.rejects(writeArtifact(specOf(out), silentLog, clipsOf(3, 9, 5, megabytes)), /killed/)
    t.notOk(existsSync(out), 'nothing stands under the name before it is whole')
    const { log, events } = recorder()
    await writeArtifact(specOf(out), log, clipsOf(3, 9, Infinity, megabytes))
    t.same(events, ['continues', 'wrote'])
    t.same(await contentOf(out), await contentOf(whole))
  },
)

t.test('a ledger that does not close is an error', async t => {
  const out = join(t.testdir(), 'frames')
  const body = (write: ArtifactWriter) => write.done('clip')
  await t.rejects(writeArtifact(specOf(out), silentLog, body), {
    name: 'StageError',
    message: /ledger does not close: 1 inputs, 0 outputs, 0 rejects/,
  })
})

t.test('a second writer is refused while the first lives; a dead one is taken over', async t => {
  const out = join(t.testdir(), 'frames')
  const unlock = await takeLock(`${out}.work`)
  await t.rejects(writeArtifact(specOf(out), silentLog, clipsOf(1, 1)), {
    name: 'StageError',
    message: new RegExp(`process ${process.pid} .* is writing here`),
  })
  const lock = join(`${out}.work`, 'lock')
  const holder = JSON.parse(await readFile(lock, 'utf8')) as object
  await writeFile(lock, JSON.stringify({ ...holder, started: 'long ago' }))
  await writeArtifact(specOf(out), silentLog, clipsOf(1, 1))
  t.ok(existsSync(join(out, 'manifest.json')))
  await unlock()
})

t.test('a row that does not fit its table names column, found and wanted', async t => {
  const out = join(t.testdir(), 'frames')
  const write = (row: object) =>
    writeArtifact(specOf(out), silentLog, async w => {
      await w.append(frames, { ...frameOf('a', 0), ...row })
    })
  await t.rejects(
    write({ width: 1.5 }),
    /row 0: column width has 1\.5, expected a whole number of 32 bits \(frames v1\)/,
  )
  await t.rejects(write({ image: 'x' }), /column image has "x", expected bytes/)
})

t.test('opening says what is there and what was wanted', async t => {
  const dir = t.testdir({ empty: {}, damaged: { 'manifest.json': '{"manifest":1' } })
  await t.rejects(
    openArtifact(join(dir, 'empty'), 'faces'),
    /no manifest\.json, wanted a faces artifact/,
  )
  await t.rejects(openArtifact(join(dir, 'damaged'), 'faces'), /manifest\.json: not JSON/)
  await writeArtifact(specOf(join(dir, 'frames')), silentLog, clipsOf(1, 1))
  await t.rejects(
    openArtifact(join(dir, 'frames'), 'faces'),
    /found a frames artifact \(made by ingest videos\), wanted faces/,
  )
})

t.test('a note lies beside the shards and changes no digest', async t => {
  const digests: string[] = []
  for (const text of ['fast', 'slow']) {
    const out = join(t.testdir({}), text)
    const manifest = await writeArtifact(specOf(out), silentLog, async write => {
      await write.note('speed.txt', text)
      await clipsOf(1, 1)(write)
    })
    t.equal(await readFile(join(out, 'speed.txt'), 'utf8'), text)
    t.same(manifest.files, [])
    digests.push((await openArtifact(out, 'frames')).digest)
  }
  t.equal(digests[0], digests[1])
})

t.test('a folder is written whole, or what stood is left', async t => {
  const place = join(t.testdir({}), 'folder')
  await writeFolder(place, { a: 'old', b: 'old' })
  await t.rejects(writeFolder(place, { a: 'new', 'no/such/place': 'x' }), { code: 'ENOENT' })
  t.same(await readdir(join(place, '..')), ['folder'])
  t.equal(await readFile(join(place, 'a'), 'utf8'), 'old')
  await writeFolder(place, { a: 'new' })
  t.same(await readdir(place), ['a'])
})

t.test("events have the bytes of TensorBoard's own writer", async t => {
  const scalars = { 'loss/total': 1.5, 'loss/triplet': 0.25 }
  const start = encodeEventStart(1700000000.5)
  const event = encodeEvent({ wallSeconds: 1700000001.25, step: 300, scalars })
  // tensorboard 2.20, RecordWriter over event_pb2.Event
  t.equal(
    Buffer.concat([start, event]).toString('hex'),
    '1800000000000000a37f4b220900002040fc54d9411a0d627261696e2e4576656e743a322b3531' +
      '1036000000000000004f578cef0900005040fc54d94110ac022a280a110a0a6c6f73732f746f74616c150000' +
      'c03f0a130a0c6c6f73732f747269706c6574150000803e6a63fdee',
  )
})
