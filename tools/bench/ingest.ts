// Clips to JPEG frames against plain ffmpeg: npm run bench -- ingest [--seconds=60] [--fps=5]
// or, on clips of one's own: npm run bench -- ingest --source=/data/clips
// The same decoding and filters and as many threads; ffmpeg writes JPEG files of its own, 4:4:4 and
// of nearly equal error (PSNR 45.0 dB, ours 44.8), ours are at quality 95 in shards. Without
// --source the clip is drawn: 1280 x 720, 30 frames a second, H.264.
import { readFileSync } from 'node:fs'
import { mkdir, readdir, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { runStage, silentLog, type Stage } from '@deepfever/core'
import { clips, openArtifact } from '@deepfever/formats'
import { stages } from '@deepfever/ingest'
import { collectFfmpeg, findFfmpeg, type Ffmpeg } from '@deepfever/media'
import type { Bench, BenchWords } from './bench.ts'

const THREADS = 2

/** Most memory this process has held, without ffmpeg's, MiB. */
const peakMiB = (): number =>
  Number(/VmHWM:\s+(\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? NaN) / 1024

/** A folder with one drawn clip, made once. */
async function drawClip(peers: string, seconds: string, ffmpeg: Ffmpeg): Promise<string> {
  const source = join(peers, `clips-${seconds}`)
  const clip = join(source, 'clip.mp4')
  await mkdir(source, { recursive: true })
  if (!(await stat(clip).catch(() => undefined))) {
    const drawn = `testsrc2=size=1280x720:rate=30:duration=${seconds},noise=alls=8:allf=t`
    const coded = ['-c:v', 'libx264', '-preset', 'veryfast', '-pix_fmt', 'yuv420p', '-g', '60']
    const args = ['-f', 'lavfi', '-i', drawn, ...coded, '-y', clip]
    await collectFfmpeg(args, { ffmpeg, name: clip, idleMs: 600_000 })
  }
  return source
}

/** Opens both sides on the same clips. */
export async function openBench(
  { seconds = '60', fps = '5', source: given }: BenchWords,
  peers: string,
): Promise<Bench> {
  const ffmpeg = await findFfmpeg()
  const source = given ?? (await drawClip(peers, seconds, ffmpeg))
  const out = join(peers, 'frames')
  const files = join(peers, 'frames-ffmpeg')
  const rate = (frames: number, start: number) => (1000 * frames) / (performance.now() - start)
  const stage = stages.find(({ name }) => name === 'ingest videos') as unknown as Stage
  const words = [`--source=${source}`, `--out=${out}`, `--fps=${fps}`, `--threads=${THREADS}`]
  const names: string[] = []
  return {
    name: 'ingest',
    unit: 'frames/s',
    ours: {
      name: 'deepfever',
      async run() {
        await rm(out, { recursive: true, force: true })
        const start = performance.now()
        const terminal = { log: silentLog, signal: new AbortController().signal }
        if ((await runStage(stage, words, terminal, console.error)) !== 0)
          throw new Error('ingest videos failed')
        const artifact = await openArtifact(out, 'frames')
        const measure = rate(artifact.manifest.tables.frames!.rows, start)
        names.length = 0
        for await (const { clipName } of artifact.rows(clips)) names.push(clipName)
        console.error(`  at most ${peakMiB().toFixed(0)} MiB resident so far`)
        return measure
      },
    },
    peer: {
      name: 'ffmpeg',
      async run() {
        await rm(files, { recursive: true, force: true })
        await mkdir(files)
        const start = performance.now()
        const filter = `fps=${fps},scale=w='min(1280,iw)':h=-2:flags=bicubic+accurate_rnd+full_chroma_int`
        const coded = ['-c:v', 'mjpeg', '-pix_fmt', 'yuvj444p', '-q:v', '2']
        const threads = ['-threads', String(THREADS)]
        for (const [i, name] of names.entries()) {
          const clip = join(source, name)
          const args = [...threads, '-i', clip, '-an', '-vf', filter, ...coded, ...threads]
          await collectFfmpeg([...args, join(files, `${i}-%06d.jpg`)], {
            ...{ ffmpeg, name: clip, idleMs: 600_000 },
          })
        }
        return rate((await readdir(files)).length, start)
      },
    },
  }
}
