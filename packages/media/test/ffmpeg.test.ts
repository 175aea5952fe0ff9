// tap: test/ffmpeg.test.ts covers src/ffmpeg.ts, src/ffmpeg-binary.ts, src/clips.ts
import { chmod, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import {
  clipInput,
  collectFfmpeg,
  ffmpegVersion,
  findFfmpeg,
  probeClip,
  runFfmpeg,
} from '@deepfever/media'
import type { FfmpegProgress } from '@deepfever/media'

const ffmpeg = await findFfmpeg()
const bare = ['-threads', '1', '-fflags', '+bitexact', '-flags:v', '+bitexact']

/** Writes a clip of a moving test card. */
const writeClip = (path: string, seconds: number, size = '64x48') =>
  collectFfmpeg(
    [
      ...['-f', 'lavfi', '-i', `testsrc=size=${size}:rate=10:duration=${seconds}`, ...bare],
      ...['-c:v', 'mpeg4', '-y', path],
    ],
    { ffmpeg, name: path },
  )

t.test('FFMPEG_PATH, then PATH, then the npm package', async t => {
  const dir = t.testdir({ ffmpeg: '#!/bin/sh\necho ffmpeg version 9.9 of tests\n' })
  const path = join(dir, 'ffmpeg')
  await t.rejects(findFfmpeg({ FFMPEG_PATH: path }), {
    name: 'StageError',
    message: /FFMPEG_PATH is .*ffmpeg, which is not a program; mend it or unset it/,
  })
  await chmod(path, 0o755)
  t.same(await findFfmpeg({ FFMPEG_PATH: path }), { path, source: 'FFMPEG_PATH' })
  t.same(await findFfmpeg({ PATH: `/nowhere:${dir}` }), { path, source: 'PATH' })
  t.equal(await ffmpegVersion({ path, source: 'PATH' }), '9.9')
  const packed = await findFfmpeg({}).catch((thrown: unknown) => thrown)
  t.match(packed, packed instanceof Error ? { message: /no ffmpeg/ } : { source: 'npm' })
})

t.test('decoded frames come as they are made, with progress and messages', async t => {
  const path = join(t.testdir({}), 'a.mp4')
  await writeClip(path, 2)
  const seen: FfmpegProgress[] = []
  const lines: string[] = []
  let bytes = 0
  const args = [
    ...clipInput(path),
    '-vf',
    'showinfo',
    '-f',
    'rawvideo',
    '-pix_fmt',
    'rgb24',
    'pipe:1',
  ]
  for await (const chunk of runFfmpeg(args, {
    ...{ ffmpeg, name: path, logLevel: 'info' as const },
    onProgress: progress => seen.push(progress),
    onMessage: line => lines.push(line),
  })) {
    bytes += chunk.length
  }
  t.equal(bytes, 20 * 64 * 48 * 3)
  t.match(seen.at(-1), { frame: 20 })
  t.equal(lines.filter(line => / pts_time:/.test(line)).length, 20)
})

t.test('leaving early ends the process', async t => {
  const args = ['-f', 'lavfi', '-i', 'testsrc=size=640x480:rate=30', '-f', 'rawvideo', 'pipe:1']
  for await (const chunk of runFfmpeg(args, { ffmpeg, name: 'endless' })) {
    t.ok(chunk.length > 0)
    break
  }
})

t.test('a slow reader is no stall; a silent process is one', async t => {
  const args = [
    '-f',
    'lavfi',
    '-i',
    'testsrc=size=320x240:rate=10:duration=3',
    '-f',
    'rawvideo',
    'pipe:1',
  ]
  let waited = false
  for await (const _ of runFfmpeg(args, { ffmpeg, name: 'slow', idleMs: 2000 })) {
    if (!waited) await new Promise(resolve => setTimeout(resolve, 2300))
    waited = true
  }
  const silent = join(t.testdir({ silent: '#!/bin/sh\nexec sleep 30\n' }), 'silent')
  await chmod(silent, 0o755)
  await t.rejects(
    collectFfmpeg([], { ffmpeg: { path: silent, source: 'PATH' }, name: 'x.mp4', idleMs: 200 }),
    {
      name: 'ClipError',
      code: 'stalled_clip',
      message: 'x.mp4: ffmpeg made no progress for 200 ms, ended',
    },
  )
})

t.test('an abort and a missing program are thrown as they are, not as bad clips', async t => {
  const stop = new AbortController()
  const args = ['-f', 'lavfi', '-i', 'testsrc=rate=30', '-f', 'rawvideo', 'pipe:1']
  const run = async () => {
    for await (const _ of runFfmpeg(args, { ffmpeg, name: 'x', signal: stop.signal })) stop.abort()
  }
  await t.rejects(run(), { name: 'AbortError' })
  await t.rejects(
    collectFfmpeg([], { ffmpeg: { path: '/nowhere/ffmpeg', source: 'PATH' }, name: 'x' }),
    { code: 'ENOENT' },
  )
})

t.test('a failure ends with the last lines that ffmpeg said', async t => {
  await t.rejects(
    collectFfmpeg([...clipInput('/nowhere/a.mp4'), '-f', 'null', '-'], { ffmpeg, name: 'a.mp4' }),
    { code: 'undecodable_clip', message: /a\.mp4: ffmpeg ended with \d+: .*No such file/ },
  )
})

t.test('a probe gives size, rate and duration', async t => {
  const dir = t.testdir({})
  await writeClip(join(dir, 'a: odd, name.mp4'), 2, '80x60')
  t.match(await probeClip(join(dir, 'a: odd, name.mp4'), ffmpeg), {
    ...{ codec: 'mpeg4', width: 80, height: 60, durationUs: 2_000_000, fps: 10 },
    container: 'mov,mp4,m4a,3gp,3g2,mj2',
  })
})

t.test('what is no clip gets a code', async t => {
  const dir = t.testdir({
    'empty.mp4': '',
    'text.mp4': 'a text under the name of a clip\n'.repeat(20),
    'list.mp4': 'ffconcat version 1.0\nfile other.mp4\n',
    'list.m3u8': '#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\nother.ts\n#EXT-X-ENDLIST\n',
  })
  const [whole, cut, sound] = ['whole.mp4', 'cut.mp4', 'sound.m4a'].map(name => join(dir, name))
  await writeClip(whole!, 2)
  await writeFile(cut!, (await readFile(whole!)).subarray(0, -1500))
  await collectFfmpeg(['-f', 'lavfi', '-i', 'sine=duration=0.2', '-c:a', 'aac', sound!], {
    ...{ ffmpeg, name: 'sound' },
  })
  for (const [name, code] of [
    ['empty.mp4', 'empty_file'],
    ['text.mp4', 'undecodable_clip'],
    ['list.mp4', 'unsupported_container'],
    ['list.m3u8', 'unsupported_container'],
    ['cut.mp4', 'undecodable_clip'],
    ['sound.m4a', 'no_video_stream'],
  ] as const) {
    await t.rejects(probeClip(join(dir, name), ffmpeg), { code, message: new RegExp(name) }, name)
  }
  await t.rejects(probeClip(cut!, ffmpeg), {
    message: /cut\.mp4: no clip ffmpeg can read: moov atom not found/,
  })
})
