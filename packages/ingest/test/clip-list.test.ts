// tap: test/clip-list.test.ts covers src/clip-list.ts, src/merge.ts, src/source-terms.ts, src/takings.ts, src/videos.ts
import { execFileSync } from 'node:child_process'
import { chmod, copyFile, mkdir, readFile, rename, rm, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { runStage, silentLog, type Log, type Stage } from '@deepfever/core'
import { clips, frames, openArtifact, type ClipRow, type Frame } from '@deepfever/formats'
import { collectFfmpeg, decodePicture, findFfmpeg } from '@deepfever/media'
import { stages } from '../src/index.ts'

const ffmpeg = await findFfmpeg()

/** Runs a stage as the command line does; gives its exit code and what it said. */
async function run(name: string, ...argv: string[]) {
  const said: string[] = []
  const log: Log = {
    ...silentLog,
    event: (event, fields) => void said.push([event, fields?.message].join(' ').trim()),
  }
  const stage = stages.find(each => each.name === name) as unknown as Stage
  const terminal = { log, signal: new AbortController().signal }
  return { code: await runStage(stage, argv, terminal, () => {}), said }
}

/** Writes a clip of 2 s at 10 frames a second; `filter` and `more` say what is odd about it. */
const makeClip = (path: string, filter = 'null', more: readonly string[] = [], seconds = 2) =>
  collectFfmpeg(
    [
      ...['-f', 'lavfi', '-i', `testsrc=size=64x48:rate=10:duration=${seconds},${filter}`],
      ...more,
      ...['-y', `file:${path}`],
    ],
    { ffmpeg, name: path },
  )

async function read(out: string) {
  const artifact = await openArtifact(out, 'frames')
  const rows: Frame[] = []
  const listed: ClipRow[] = []
  if (artifact.manifest.tables.frames)
    for await (const row of artifact.rows(frames)) rows.push({ ...row, image: row.image.slice() })
  for await (const row of artifact.rows(clips)) listed.push(row)
  const of = (name: string) => rows.filter(row => row.clipName === name)
  const codes = Object.fromEntries(listed.map(row => [row.clipName, row.code]))
  return { ...artifact, rows, of, codes, clips: listed }
}

const seconds = (rows: readonly Frame[]) => rows.map(row => row.ptsUs / 1e6)
/** The middle pixel of a frame. */
async function middleOf(frame: Frame | undefined): Promise<readonly number[]> {
  const { data, width, height } = await decodePicture(frame!.image)
  const at = ((height >> 1) * width + (width >> 1)) * 3
  return [...data.subarray(at, at + 3)]
}
const near = (found: readonly number[], wanted: readonly number[], by: number) =>
  found.every((value, i) => Math.abs(value - wanted[i]!) <= by)

t.test('key frames, evenly spread frames, given times; times of a variable rate', async t => {
  const dir = t.testdir({ clips: {} })
  const source = join(dir, 'clips')
  const out = join(dir, 'frames')
  await makeClip(join(source, 'a.mp4'), 'null', ['-g', '7', '-bf', '0', '-sc_threshold', '0'])
  const odd = "select='not(eq(mod(n,3),1))'"
  await makeClip(join(source, 'vfr.mkv'), odd, ['-fps_mode', 'vfr', '-g', '100'])
  const take = async (...options: string[]) => {
    t.equal((await run('ingest videos', `--source=${source}`, `--out=${out}`, ...options)).code, 0)
    return read(out)
  }
  const key = await take('--select=key')
  t.same(seconds(key.of('a.mp4')), [0, 0.7, 1.4])
  t.same(seconds(key.of('vfr.mkv')), [0])
  const uniform = await take('--select=uniform', '--count=4')
  t.same(seconds(uniform.of('a.mp4')), [0.3, 0.8, 1.3, 1.8], 'the first at or after D(k + 1/2)/n')
  t.equal(uniform.of('vfr.mkv').length, 4)
  const times = await take('--select=times', '--times=0.1,1.05,1.9,99')
  t.same(seconds(times.of('a.mp4')), [0.1, 1.1, 1.9])
  t.same(seconds(times.of('vfr.mkv')), [0.2, 1.1, 2.1].slice(0, times.of('vfr.mkv').length))
  for (const [option, message] of [
    ['--times=1,x', /wanted 1 to 1000 ascending numbers/],
    ['--select=times', /--times=: wanted/],
  ] as const) {
    const refused = await run('ingest videos', `--source=${source}`, `--out=${out}`, option)
    t.equal(refused.code, 2)
    t.match(refused.said.join(), message)
  }
})

t.test(
  'alpha lies on black, 10 bits and odd sizes are right, animations keep their times',
  async t => {
    const dir = t.testdir({ clips: {} })
    const source = join(dir, 'clips')
    const out = join(dir, 'frames')
    const red = 'drawbox=c=red:t=fill,format=rgba,colorchannelmixer=aa=0.5'
    await makeClip(join(source, 'half.mov'), red, ['-c:v', 'png', '-pix_fmt', 'rgba'])
    const ten = ['-c:v', 'libx264', '-pix_fmt', 'yuv444p10le', '-qp', '0']
    await makeClip(join(source, 'ten.mp4'), 'scale=37:21,setsar=1,drawbox=c=0x4080c0:t=fill', ten)
    await makeClip(join(source, 'moving.gif'), 'drawbox=c=lime:t=fill', [], 1)
    const turns = "drawbox=c=red:t=fill,drawbox=c=lime:t=fill:enable='gt(t,0.35)'"
    const animated = ['-c:v', 'libwebp_anim', '-lossless', '1']
    await makeClip(join(source, 'turns.webp'), turns, animated, 1)
    t.equal((await run('ingest videos', `--source=${source}`, `--out=${out}`, '--fps=2.5')).code, 0)
    const { of, manifest } = await read(out)
    t.same(manifest.ledger, { inputs: 4, outputs: 4, rejects: {} })
    const half = await middleOf(of('half.mov')[0])
    t.ok(near(half, [127, 0, 0], 6), half.join())
    const ten10 = await middleOf(of('ten.mp4')[0])
    t.ok(near(ten10, [64, 128, 192], 6), ten10.join())
    t.match(of('ten.mp4')[0], { width: 37, height: 21 })
    t.same(seconds(of('moving.gif')), [0, 0.4, 0.8])
    t.same(seconds(of('turns.webp')), [0, 0.4])
    t.ok(near(await middleOf(of('turns.webp')[0]), [255, 0, 0], 6))
    t.ok(near(await middleOf(of('turns.webp')[1]), [0, 255, 0], 6))
  },
)

t.test('sound alone, encrypted and hanging clips get a code; nothing stops the run', async t => {
  const dir = t.testdir({ clips: {} })
  const source = join(dir, 'clips')
  const out = join(dir, 'frames')
  const sine = ['-f', 'lavfi', '-i', 'sine=duration=1', '-y', join(source, 'sound.mp4')]
  await collectFfmpeg(sine, { ffmpeg, name: 'sound.mp4' })
  await makeClip(join(source, 'plain.mp4'), 'null', ['-c:v', 'libx264'])
  const whole = await readFile(join(source, 'plain.mp4'))
  // The sample entry of a protected track is `encv` in place of the codec's own.
  const entry = whole.lastIndexOf('avc1')
  await writeFile(
    join(source, 'drm.mp4'),
    Buffer.concat([whole.subarray(0, entry), Buffer.from('encv'), whole.subarray(entry + 4)]),
  )
  t.equal((await run('ingest videos', `--source=${source}`, `--out=${out}`)).code, 0)
  t.same((await read(out)).codes, {
    'drm.mp4': 'encrypted_clip',
    'plain.mp4': '',
    'sound.mp4': 'no_video_stream',
  })
  // A decoder that reports and does not advance: the real one for the header, then nothing.
  const stuck = join(dir, 'ffmpeg')
  const script = [
    '#!/bin/sh',
    'case "$*" in *ppm*) while :; do printf "frame=0\\nprogress=continue\\n" >&3; sleep 0.05; done;; esac',
    `exec ${ffmpeg.path} "$@"`,
  ]
  await writeFile(stuck, script.join('\n'))
  await chmod(stuck, 0o755)
  process.env.FFMPEG_PATH = stuck
  t.teardown(() => delete process.env.FFMPEG_PATH)
  const again = ['--retry=encrypted_clip', '--idle=0.3', '--force', '--fps=10']
  t.equal((await run('ingest videos', `--source=${source}`, `--out=${out}`, ...again)).code, 0)
  t.equal((await read(out)).codes['plain.mp4'], 'stalled_clip')
  delete process.env.FFMPEG_PATH
  const retried = ['--retry=stalled_clip', '--fps=10']
  t.equal((await run('ingest videos', `--source=${source}`, `--out=${out}`, ...retried)).code, 0)
  t.equal((await read(out)).codes['plain.mp4'], '', 'with a decoder that works it is done again')
})

t.test('a damaged clip has the same frames whatever the number of threads', async t => {
  const dir = t.testdir({ clips: {} })
  const place = join(dir, 'clips', 'bits.mkv')
  const noisy = 'scale=320:240,noise=alls=20:allf=t'
  await makeClip(place, noisy, ['-c:v', 'libx264', '-g', '10', '-bf', '2'], 6)
  const bytes = await readFile(place)
  for (let i = bytes.length >> 1; i < bytes.length - 500; i += 997) bytes[i]! ^= 0x55
  await writeFile(place, bytes)
  const digests = new Set<string>()
  for (const threads of [1, 2, 4, 7]) {
    const out = join(dir, `by${threads}`)
    const words = [`--source=${dir}/clips`, `--out=${out}`, '--fps=10', `--threads=${threads}`]
    t.equal((await run('ingest videos', ...words)).code, 0)
    const found = await read(out)
    t.equal(found.codes['bits.mkv'], 'damaged_clip')
    t.ok(found.rows.length > 30, `${found.rows.length} of 60 frames`)
    digests.add(found.digest)
  }
  t.equal(digests.size, 1)
})

t.test('odd names, links out of the folder, lists and tar files', async t => {
  const dir = t.testdir({ clips: { deep: {} }, other: {} })
  const source = join(dir, 'clips')
  const out = join(dir, 'frames')
  const names = ['-rf.mp4', 'a b "c" \'d\'.mp4', 'line\nbreak.mp4', 'concat:x|y.mp4', 'é字.mp4']
  for (const [i, name] of names.entries())
    await makeClip(join(source, 'deep', name), `hue=h=${i * 40}`, [], 0.3)
  await makeClip(join(dir, 'other', 'outside.mp4'), 'hue=h=300', [], 0.3)
  await symlink(join(dir, 'other', 'outside.mp4'), join(source, 'link.mp4'))
  await copyFile(join(source, 'deep', '-rf.mp4'), Buffer.from(`${source}/\xff.mp4`, 'latin1'))
  t.equal((await run('ingest videos', `--source=${source}`, `--out=${out}`)).code, 0)
  const found = await read(out)
  t.same(
    found.clips
      .filter(clip => clip.frames > 0)
      .map(clip => clip.clipName)
      .sort(),
    names.map(name => `deep/${name}`).sort(),
  )
  t.equal(found.codes['link.mp4'], 'not_a_file_inside')
  t.equal(found.manifest.ledger.rejects.name_not_utf8?.count, 1)
  t.equal(found.manifest.ledger.inputs, names.length + 2)

  const list = join(dir, 'list.txt')
  const listed = names.map(name => join('clips/deep', name))
  await writeFile(list, [...listed, 'clips/gone.mp4'].join('\0'))
  t.equal((await run('ingest videos', `--list=${list}`, `--out=${out}-list`)).code, 0)
  const fromList = await read(`${out}-list`)
  t.same(
    fromList.rows.map(row => row.frameId),
    found.rows.map(row => row.frameId),
  )
  t.equal(fromList.codes[join(dir, 'clips/gone.mp4')], 'not_a_file_inside')

  await mkdir(join(dir, 'packed'))
  const long = `${'d'.repeat(120)}/${'n'.repeat(120)}.mp4`
  await mkdir(join(source, 'd'.repeat(120)))
  await rename(join(source, 'deep', '-rf.mp4'), join(source, long))
  for (const format of ['gnu', 'pax']) {
    const tar = join(dir, 'packed', 'clips.tar')
    execFileSync('tar', [`--format=${format}`, '-cf', tar, '-C', source, 'deep', long])
    t.equal((await run('ingest videos', `--source=${dir}/packed`, `--out=${out}-tar`)).code, 0)
    const fromTar = await read(`${out}-tar`)
    t.same(
      fromTar.rows.map(row => [row.frameId, Buffer.from(row.image).toString('base64')]),
      found.rows.map(row => [row.frameId, Buffer.from(row.image).toString('base64')]),
      `${format}: a member is decoded as the file is`,
    )
    t.ok(fromTar.codes[`clips.tar/${long}`] === '', format)
    await rm(`${out}-tar`, { recursive: true })
  }
  const tar = join(dir, 'packed', 'clips.tar')
  const whole = await readFile(tar)
  await writeFile(tar, whole.subarray(0, whole.length >> 1))
  t.equal((await run('ingest videos', `--source=${dir}/packed`, `--out=${out}-cut`)).code, 0)
  const cut = await read(`${out}-cut`)
  t.equal(cut.codes['clips.tar'], 'damaged_tar')
  t.ok(
    cut.clips.some(clip => clip.frames > 0),
    'members before the cut are kept',
  )
})

t.test('any division, merged, gives the bytes of one part; a missing part is named', async t => {
  const dir = t.testdir({ clips: { 'empty.mp4': '', 'text.mp4': 'no clip' } })
  const source = join(dir, 'clips')
  for (let i = 0; i < 6; i++) await makeClip(join(source, `${i}.mp4`), `hue=h=${i * 50}`, [], 0.5)
  await copyFile(join(source, '0.mp4'), join(source, 'again.mp4'))
  const contents = new Set<string>()
  for (const count of [1, 2, 5]) {
    const out = join(dir, `by${count}`)
    for (let i = count; i >= 1; i--) {
      if (i === 1 && count > 1) {
        const early = await run('ingest merge', `--parts=${out}.parts`, `--out=${out}`)
        t.equal(early.code, 1)
        t.match(early.said.join(), new RegExp(`found ${count - 1} of ${count} parts, missing 1`))
      }
      const words = [`--source=${source}`, `--out=${out}`, `--shard=${i}/${count}`]
      t.equal((await run('ingest videos', ...words)).code, 0)
    }
    t.equal((await run('ingest merge', `--parts=${out}.parts`, `--out=${out}`)).code, 0)
    const { manifest } = await read(out)
    t.match(manifest.ledger, { inputs: 9, outputs: 6 })
    const files = [
      'manifest.json',
      ...Object.values(manifest.tables).flatMap(x => x.shards.map(s => s.name)),
    ]
    contents.add((await Promise.all(files.map(file => readFile(join(out, file), 'latin1')))).join())
  }
  t.equal(contents.size, 1)
  const env = { SLURM_ARRAY_TASK_ID: '4', SLURM_ARRAY_TASK_MIN: '3', SLURM_ARRAY_TASK_COUNT: '2' }
  Object.assign(process.env, env)
  const words = [`--source=${source}`, `--out=${dir}/array`, '--shard=auto']
  t.equal((await run('ingest videos', ...words)).code, 0)
  for (const name of Object.keys(env)) Reflect.deleteProperty(process.env, name)
  t.ok(await openArtifact(`${dir}/array.parts/2-of-2`, 'frames'))
  t.match((await run('ingest videos', ...words)).said.join(), /wanted SLURM_ARRAY_TASK_ID/)
})

t.test(
  'new clips cost only themselves, a removed one leaves, forgotten ones are not decoded',
  async t => {
    const dir = t.testdir({ clips: { 'SOURCE.json': '{"licence":"CC0","consent":"asked"}' } })
    const source = join(dir, 'clips')
    const out = join(dir, 'frames')
    for (let i = 0; i < 4; i++) await makeClip(join(source, `${i}.mp4`), `hue=h=${i * 60}`, [], 0.5)
    const log = join(dir, 'decoded')
    const counting = join(dir, 'ffmpeg')
    const count = `case "$*" in *ppm*) echo >> ${log};; esac`
    await writeFile(counting, ['#!/bin/sh', count, `exec ${ffmpeg.path} "$@"`].join('\n'))
    await chmod(counting, 0o755)
    process.env.FFMPEG_PATH = counting
    t.teardown(() => delete process.env.FFMPEG_PATH)
    const take = async (target: string, ...more: string[]) => {
      await rm(log, { force: true })
      const words = [`--source=${source}`, `--out=${target}`, ...more]
      t.equal((await run('ingest videos', ...words)).code, 0)
      return (await readFile(log, 'utf8').catch(() => '')).length
    }
    t.equal(await take(out), 4)
    t.same((await read(out)).manifest.terms, [{ licence: 'CC0', consent: 'asked', contact: '' }])
    await makeClip(join(source, 'new.mp4'), 'hue=h=300', [], 0.5)
    await rm(join(source, '2.mp4'))
    await rename(join(source, '1.mp4'), join(source, 'moved.mp4'))
    t.equal(await take(out), 1, 'only the new clip is decoded')
    t.equal(await take(join(dir, 'whole')), 4)
    const [grown, whole] = [await read(out), await read(join(dir, 'whole'))]
    t.equal(grown.digest, whole.digest, 'what has grown has the bytes of what was made at once')
    const [first, second] = grown.clips as [ClipRow, ClipRow]
    const frameId = grown.rows.find(row => row.clipId === second.clipId)!.frameId
    await writeFile(join(dir, 'forget.txt'), `# asked to\n${first.clipId}\n${frameId}#0\n`)
    t.equal(await take(out, `--forget=${dir}/forget.txt`), 0)
    const left = await read(out)
    t.equal(left.codes[first.clipName], 'forgotten')
    t.notOk(left.rows.some(row => row.clipId === first.clipId || row.frameId === frameId))
    t.equal(await take(out), 4, 'once the list is gone, nothing that was made under it is used')
    await writeFile(join(source, 'SOURCE.json'), '{"license":"CC0"}')
    const refused = await run('ingest videos', `--source=${source}`, `--out=${out}`)
    t.match(
      refused.said.join(),
      /SOURCE.json: found .*license.*, wanted texts named licence, consent/,
    )
  },
)
