// tap: test/faults.test.ts covers src/ingest-detect.ts
// DEEPFEVER_KILLS=20 kills so many runs; without it three, which fits into every test run. Only what
// is killed is a process of its own: each takes a second to start, several on a busy machine.
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { chmod, mkdir, readFile, readdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { crc32, deflateSync } from 'node:zlib'
import { openRandom, runStage, silentLog, type Stage } from '@deepfever/core'
import { readManifest } from '@deepfever/formats'
import { collectFfmpeg, findFfmpeg, readPicture } from '@deepfever/media'
import t from 'tap'
import { rooms } from '../src/rooms.ts'

const program = fileURLToPath(new URL('../bin/deepfever.mjs', import.meta.url))
const photo = fileURLToPath(new URL('../../../datasets/demo/photos/astronaut.png', import.meta.url))
const ffmpeg = await findFfmpeg()
const kills = Number(process.env.DEEPFEVER_KILLS ?? 3)
// Two processes a kill, each of some seconds.
t.setTimeout(120_000 + kills * 60_000)

/** Clips of two seconds that show a portrait in changing light. */
async function makeClips(folder: string, count: number) {
  await mkdir(folder, { recursive: true })
  for (let i = 0; i < count; i++) {
    const filter = `scale=320:320,eq=brightness='${-i / 30}-t/9':eval=frame,format=yuv420p`
    const picture = ['-loop', '1', '-framerate', '8', '-t', '2', '-i', photo, '-vf', filter]
    await collectFfmpeg([...picture, '-y', join(folder, `${i}.mp4`)], { ffmpeg, name: `${i}` })
  }
}

/** Starts the program as a process of its own, with nothing of the test runner's environment. */
function start(argv: readonly string[]) {
  const env = { PATH: process.env.PATH, DEEPFEVER_LOG: 'json' }
  const child = spawn(process.execPath, [program, ...argv], {
    env,
    stdio: 'ignore',
  })
  return { child, ended: once(child, 'close') }
}

/** Runs a stage in this process; gives its exit code and the message it failed with. */
async function run(room: string, target: string, ...argv: string[]) {
  let said = ''
  const log = {
    ...silentLog,
    event(name: string, fields?: Readonly<Record<string, unknown>>) {
      if (name === 'failed') said += String(fields?.['message'])
    },
  }
  const { stages } = await rooms[room]!()
  const stage = stages.find(({ name }) => name === `${room} ${target}`) as unknown as Stage
  const code = await runStage(stage, argv, { log, signal: new AbortController().signal }, () => {})
  return { code, said }
}

const digestOf = async (out: string) => (await readManifest(out))?.digest

t.test(
  'killed at any point, the same command ends with the bytes of an undisturbed run',
  async t => {
    const dir = t.testdir({})
    await makeClips(join(dir, 'clips'), 4)
    const command = ['ingest+detect', 'clips', `--source=${dir}/clips`, '--fps=4'] as const
    const began = performance.now()
    t.same((await start([...command, `--out=${dir}/whole`]).ended)[0], 0)
    const wholeMs = performance.now() - began
    const wanted = await digestOf(join(dir, 'whole'))
    const random = openRandom(`kills/${process.env.DEEPFEVER_SEED ?? ''}`)
    for (let i = 0; i < kills; i++) {
      const out = join(dir, `killed${i}`)
      const { child, ended } = start([...command, `--out=${out}`])
      const timer = setTimeout(() => child.kill('SIGKILL'), 300 + random.next() * wholeMs)
      await ended
      clearTimeout(timer)
      const found = await digestOf(out)
      t.ok(found === undefined || found === wanted, 'whole or absent')
      t.equal((await run(...command, `--out=${out}`)).code, 0)
      t.equal(await digestOf(out), wanted)
      t.notOk((await readdir(dir)).includes(`killed${i}.work`))
    }
  },
)

t.test('a flipped bit is named; of two runs into one place one is done', async t => {
  const dir = t.testdir({})
  await makeClips(join(dir, 'clips'), 2)
  const frames = `${dir}/frames`
  const ingest = ['ingest', 'videos', `--source=${dir}/clips`, '--fps=2'] as const
  const [one, two] = await Promise.all([
    run(...ingest, `--out=${frames}`),
    run(...ingest, `--out=${frames}`),
  ])
  const codes = [one.code, two.code].sort()
  t.ok(codes[0] === 0, 'one of two runs is done')
  if (codes[1] !== 0) t.match(one.said + two.said, /is writing here; wait for it/)
  const shard = join(frames, 'frames-00000.arrow')
  const bytes = await readFile(shard)
  bytes[bytes.length >> 1]! ^= 4
  await writeFile(shard, bytes)
  const refused = await run('detect', 'faces', `--frames=${frames}`, `--out=${dir}/faces`)
  t.equal(refused.code, 1)
  t.match(refused.said, /frames-00000\.arrow: sha256 .* its bytes were changed; rebuild with/)
})

/** Runs `body` with a disk of 256 KiB at `place`; false where none can be mounted. */
async function withSmallDisk(place: string, body: () => Promise<void>): Promise<boolean> {
  const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=256k', 'tmpfs', place])
  if (mounted.status !== 0) return false
  try {
    await body()
  } finally {
    spawnSync('umount', [place])
  }
  return true
}

t.test('a place that is read-only is named', async t => {
  const dir = t.testdir({ locked: {} })
  const locked = join(dir, 'locked')
  await makeClips(join(dir, 'clips'), 1)
  const refuse = async () => {
    const { code, said } = await run(
      'ingest',
      'videos',
      `--source=${dir}/clips`,
      `--out=${locked}/f`,
    )
    t.equal(code, 1)
    t.match(said, /(EACCES|EROFS).*locked/)
  }
  // Root writes everywhere but on a disk that is read-only.
  if (process.getuid?.() === 0) {
    const tried = await withSmallDisk(locked, async () => {
      spawnSync('mount', ['-o', 'remount,ro', locked])
      await refuse()
    })
    if (!tried) t.pass('no right to mount a read-only disk here', { skip: true })
  } else {
    await chmod(locked, 0o555)
    await refuse()
    await chmod(locked, 0o755)
  }
})

t.test('a full disk is named, earlier artifacts stay, and the run goes on with room', async t => {
  const dir = t.testdir({ small: {} })
  const small = join(dir, 'small')
  const tried = await withSmallDisk(small, async () => {
    await makeClips(join(dir, 'clips'), 2)
    const ingest = ['ingest', 'videos', `--source=${dir}/clips`] as const
    const first = join(small, 'first')
    t.equal((await run(...ingest, `--out=${first}`, '--fps=0.5', '--max-side=64')).code, 0)
    const before = await digestOf(first)
    const full = await run(...ingest, `--out=${small}/frames`, '--fps=8')
    t.equal(full.code, 1)
    t.match(full.said, /ENOSPC|no space left/)
    t.equal(await digestOf(first), before)
    t.equal(await digestOf(join(small, 'frames')), undefined, 'no half artifact')
    spawnSync('mount', ['-o', 'remount,size=64m', small])
    t.equal((await run(...ingest, `--out=${small}/frames`, '--fps=8')).code, 0)
    t.equal((await run(...ingest, `--out=${dir}/frames`, '--fps=8')).code, 0)
    t.equal(await digestOf(join(small, 'frames')), await digestOf(join(dir, 'frames')))
  })
  if (!tried) t.pass('no right to mount a small disk here', { skip: true })
})

t.test('a picture of 50,000 x 50,000 pixels is refused on its header', async t => {
  const dir = t.testdir({})
  const chunk = (kind: string, data: Buffer) => {
    const body = Buffer.concat([Buffer.from(kind), data])
    const [length, sum] = [Buffer.alloc(4), Buffer.alloc(4)]
    length.writeUInt32BE(data.length)
    sum.writeUInt32BE(crc32(body))
    return Buffer.concat([length, body, sum])
  }
  const header = Buffer.alloc(13)
  header.writeUInt32BE(50_000, 0)
  header.writeUInt32BE(50_000, 4)
  header.set([8, 2], 8)
  const signature = Buffer.from('\x89PNG\r\n\x1a\n', 'latin1')
  const data = chunk('IDAT', deflateSync(Buffer.alloc(150_001)))
  const file = [signature, chunk('IHDR', header), data, chunk('IEND', Buffer.alloc(0))]
  await writeFile(join(dir, 'large.png'), Buffer.concat(file))
  const before = process.memoryUsage().rss
  await t.rejects(readPicture(join(dir, 'large.png')), { code: 'too_many_pixels' })
  t.ok(process.memoryUsage().rss - before < 100e6, 'nothing was decoded')
  await rm(join(dir, 'large.png'))
})
