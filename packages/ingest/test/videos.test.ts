import { createServer } from 'node:http'
import { copyFile, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { AddressInfo } from 'node:net'
import t from 'tap'
import { runStage, silentLog, type Log, type Stage } from '@deepfever/core'
import { clips, frames, openArtifact, type ClipRow, type Frame } from '@deepfever/formats'
import { collectFfmpeg, decodePicture, findFfmpeg, readPpm } from '@deepfever/media'
import { videos } from '../src/videos.ts'

const runAny = (stage: Stage, argv: readonly string[], log: Log = silentLog) =>
  runStage(stage, argv, { log, signal: new AbortController().signal }, () => {})
const run = (...argv: string[]) => runAny(videos, argv)

/** A clip of `seconds` with a square that moves over a grey ground. */
async function makeClip(path: string, more: readonly string[] = [], seconds = 2, name = path) {
  const ffmpeg = await findFfmpeg()
  const source = `testsrc=size=64x48:rate=10:duration=${seconds}`
  await collectFfmpeg(['-f', 'lavfi', '-i', source, ...more, '-y', `file:${path}`], {
    ffmpeg,
    name,
  })
}

/** An MP4 as a phone held upright writes it: the track's matrix turns it by 90 degrees. */
function turnedClockwise(mp4: Buffer): Buffer {
  const matrix = mp4.indexOf('tkhd') + 4 + 40
  const entries = [0, 1, 0, -1, 0, 0, 0, 0, 0x4000]
  for (const [i, value] of entries.entries()) mp4.writeInt32BE(value << 16, matrix + 4 * i)
  return mp4
}

async function clipsOf(out: string): Promise<ClipRow[]> {
  const found: ClipRow[] = []
  for await (const row of (await openArtifact(out, 'frames')).rows(clips)) found.push(row)
  return found
}

async function framesOf(out: string): Promise<Frame[]> {
  const found: Frame[] = []
  for await (const frame of (await openArtifact(out, 'frames')).rows(frames))
    found.push({ ...frame, image: frame.image.slice() })
  return found
}

t.test('frames come at the asked rate with the true times of the clip', async t => {
  const dir = t.testdir({ clips: {} })
  await makeClip(join(dir, 'clips', 'a.mp4'))
  const out = join(dir, 'frames')
  t.equal(await run(`--source=${dir}/clips`, `--out=${out}`, '--fps=4'), 0)
  const found = await framesOf(out)
  t.same(
    found.map(frame => frame.ptsUs),
    // Frames lie every 0.1 s; ticks every 0.25 s take the first frame at or after each.
    [0, 300_000, 500_000, 800_000, 1_000_000, 1_300_000, 1_500_000, 1_800_000],
  )
  t.same(
    found.map(frame => frame.index),
    [0, 1, 2, 3, 4, 5, 6, 7],
  )
  const [first] = found
  t.match(first, { clipName: 'a.mp4', width: 64, height: 48, frameId: `${first!.clipId}@0` })
  const picture = await decodePicture(first!.image)
  t.same([picture.width, picture.height], [64, 48])
})

t.test(
  'a variable rate keeps its timestamps, a large frame is scaled, a turned one stands upright',
  async t => {
    const dir = t.testdir({ clips: {} })
    const odd = "select='not(eq(mod(n,3),1))'"
    await makeClip(join(dir, 'clips', 'variable.mkv'), ['-vf', odd, '-fps_mode', 'vfr'])
    await makeClip(join(dir, 'clips', 'wide.mp4'), ['-vf', 'scale=200:100,setsar=1'], 0.2)
    const turned = join(dir, 'clips', 'turned.mp4')
    const halves = 'drawbox=c=red:t=fill,drawbox=w=32:c=lime:t=fill'
    await makeClip(turned, ['-vf', halves], 0.2)
    await writeFile(turned, turnedClockwise(await readFile(turned)))
    const out = join(dir, 'frames')
    t.equal(await run(`--source=${dir}/clips`, `--out=${out}`, '--fps=240', '--max-side=80'), 0)
    const found = await framesOf(out)
    const of = (name: string) => found.filter(frame => frame.clipName === name)
    t.same(
      of('variable.mkv')
        .slice(0, 5)
        .map(frame => frame.ptsUs),
      [0, 200_000, 300_000, 500_000, 600_000],
    )
    t.match(of('wide.mp4')[0], { width: 80, height: 40 })
    t.match(of('turned.mp4')[0], { width: 48, height: 64 })
    const { data } = await decodePicture(of('turned.mp4')[0]!.image)
    t.ok(data[1]! > 200 && data[0]! < 50, 'what was on the left is above')
    t.ok(data.at(-3)! > 200 && data.at(-2)! < 50, 'and what was on the right below')
  },
)

t.test('broken clips become coded rejects, the rest goes on, and the ledger closes', async t => {
  const dir = t.testdir({
    clips: { 'empty.mp4': '', 'text.mp4': 'this is not a clip\n', 'notes.txt': '' },
  })
  const folder = join(dir, 'clips')
  const evil = `<img src=x onerror="alert(1)"> 'and' -y.mp4`
  await makeClip(join(folder, evil))
  await copyFile(join(folder, evil), join(folder, 'zz-copy.mp4'))
  const whole = await readFile(join(folder, evil))
  await writeFile(join(folder, 'cut.mp4'), whole.subarray(0, 400))
  await makeClip(join(dir, 'whole.mkv'), ['-c:v', 'mpeg4', '-g', '5'], 8)
  const stream = await readFile(join(dir, 'whole.mkv'))
  await writeFile(join(folder, 'half.mkv'), stream.subarray(0, stream.length / 2))
  const out = join(dir, 'frames')
  t.equal(await run(`--source=${folder}`, `--out=${out}`), 0)
  const { manifest } = await openArtifact(out, 'frames')
  t.match(manifest.ledger, {
    inputs: 6,
    outputs: 2,
    rejects: {
      duplicate_clip: { count: 1, example: 'zz-copy.mp4' },
      empty_file: { count: 1, example: 'empty.mp4' },
      undecodable_clip: { count: 2 },
    },
  })
  const half = (await clipsOf(out)).find(clip => clip.clipName === 'half.mkv')
  t.match(half, { frames: 4, code: 'damaged_clip' }, 'it says what it keeps, and why not more')
  const names = new Set((await framesOf(out)).map(frame => frame.clipName))
  t.same([...names].sort(), [evil, 'half.mkv'], 'a clip cut off half-way keeps its good frames')
})

t.test('a playlist that names an address causes no request', async t => {
  let requests = 0
  const server = createServer((_, response) => {
    requests++
    response.end()
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  const address = `http://127.0.0.1:${port}/clip.ts`
  const dir = t.testdir({
    clips: {
      'hls.mp4': `#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n${address}\n#EXT-X-ENDLIST\n`,
      'concat.mp4': `ffconcat version 1.0\nfile ${address}\n`,
      'sdp.mp4': `v=0\no=- 0 0 IN IP4 127.0.0.1\nc=IN IP4 127.0.0.1\nm=video ${port} RTP/AVP 96\n`,
    },
  })
  t.equal(await run(`--source=${dir}/clips`, `--out=${dir}/frames`), 0)
  const { ledger } = (await openArtifact(`${dir}/frames`, 'frames')).manifest
  t.same(ledger.outputs, 0)
  t.equal(ledger.inputs, 3)
  t.equal(requests, 0)
  await new Promise(resolve => server.close(resolve))
})

t.test(
  'the decoder output is split at any chunk size, and a cut-off picture is an error',
  async t => {
    const picture = (value: number) =>
      Buffer.concat([Buffer.from('P6\n3 2\n255\n'), Buffer.alloc(18, value)])
    const all = Buffer.concat([picture(7), picture(10), picture(9)])
    async function* chunksOf(size: number, bytes: Uint8Array = all) {
      for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size)
    }
    for (const size of [1, 5, 29, 30, 1000]) {
      const values: number[] = []
      for await (const { data, width, height } of readPpm(chunksOf(size), 'clip'))
        values.push(data[17]!, data.length, width, height)
      t.same(values, [7, 18, 3, 2, 10, 18, 3, 2, 9, 18, 3, 2], `chunks of ${size}`)
    }
    const drain = async (bytes: Uint8Array) => {
      for await (const part of readPpm(chunksOf(16, bytes), 'clip')) t.ok(part)
    }
    await t.rejects(
      drain(all.subarray(0, 40)),
      /clip: the decoder's output ends 11 bytes into a picture/,
    )
    await t.rejects(drain(Buffer.alloc(64)), /no PPM picture/)
  },
)
