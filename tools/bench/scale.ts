// Generated faces through merge without near-duplicates and through reading:
//   npm run bench -- scale [--faces=10000,100000,1000000] [--crop=2000] [--drawn=mixed] --rounds=1
// Ten faces a clip. Time, most memory and disk of each size. Drawn are, by --drawn: mixed, a third
// of them near-duplicates; same, one face always; close, one face with 10 of its 128 bits changed.
import { readFileSync } from 'node:fs'
import { mkdir, readdir, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { openRandom, runStage, silentLog, type Random, type Stage } from '@deepfever/core'
import { stages } from '@deepfever/detect'
import { clips, faces, openArtifact, partPath, qualities, writeArtifact } from '@deepfever/formats'
import { isEntry } from '../faults.ts'
import type { Bench, BenchWords } from './bench.ts'

const A_CLIP = 10
const PARTS = 4
const SIGNATURE_BYTES = 16

/** Draws signatures one after the other. */
function openSignatures(drawn: string, random: Random): () => Uint8Array {
  const drawOne = () => Uint8Array.from({ length: SIGNATURE_BYTES }, () => random.below(256))
  const change = (signature: Uint8Array, times: number) => {
    const changed = signature.slice()
    for (let i = 0; i < times; i++)
      changed[random.below(SIGNATURE_BYTES)]! ^= 2 ** (times === 1 ? 0 : random.below(8))
    return changed
  }
  const one = new Uint8Array(SIGNATURE_BYTES).fill(0x35)
  if (drawn === 'same') return () => one
  if (drawn === 'close') return () => change(one, 10)
  let last = one
  return () => (last = random.below(3) > 0 ? drawOne() : change(last, 1))
}

/** Writes the parts that a detect of `count` faces would have left. */
async function drawParts(
  out: string,
  count: number,
  cropBytes: number,
  drawn: string,
): Promise<void> {
  const crop = Uint8Array.from({ length: cropBytes }, (_, i) => i * 7)
  for (let index = 1; index <= PARTS; index++) {
    const random = openRandom(`faces/${index}`)
    const identity = { shard: `${index}/${PARTS}` }
    const spec = { kind: 'faces', stage: 'draw faces', behaviour: 1, identity, inputs: [] }
    const place = partPath(out, { index, count: PARTS })
    await writeArtifact({ ...spec, out: place }, silentLog, async write => {
      const nextSignature = openSignatures(drawn, random)
      for (let c = 0; c < count / PARTS / A_CLIP; c++) {
        const clipId = (index * 2 ** 40 + c).toString(16).padStart(16, '0')
        const clipName = `folder/${clipId}.mp4`
        for (let i = 0; i < A_CLIP; i++) {
          const signature = nextSignature()
          const frameId = `${clipId}@${i * 1e6}`
          const faceId = `${frameId}#0`
          const cut = { box: new Float32Array(4), landmarks: new Float32Array(10), crop }
          const row = { faceId, frameId, source: clipName, probability: 1, cropKind: 'detected' }
          await write.append(faces, { ...row, ...cut, label: -1, split: '' })
          const pose = { yaw: 0, pitch: 0, roll: 0, brightness: 0.5, side: 80 }
          const sharpness = random.below(1000) / 10
          const trackId = `${clipId}~0`
          const quality = { faceId, trackId, ...pose, sharpness, signature }
          await write.append(qualities, quality)
        }
        await write.append(clips, { clipId, clipName, frames: A_CLIP, code: '' })
        write.accept(A_CLIP)
        await write.done(clipId, A_CLIP)
      }
    })
  }
}

async function sizeOf(folder: string): Promise<number> {
  let sum = 0
  for (const name of await readdir(folder)) sum += (await stat(join(folder, name))).size
  return sum
}

/** Merges and reads in a process of its own, so that its memory is its own. */
async function measure(out: string): Promise<void> {
  const stage = stages.find(({ name }) => name === 'detect merge') as unknown as Stage
  const terminal = { log: silentLog, signal: new AbortController().signal }
  const start = performance.now()
  const code = await runStage(
    stage,
    [`--parts=${out}.parts`, `--out=${out}`],
    terminal,
    console.error,
  )
  if (code !== 0) throw new Error('detect merge failed')
  const merged = performance.now()
  const artifact = await openArtifact(out, 'faces')
  let rows = 0
  for await (const { crop } of artifact.rows(faces)) rows += crop.length > 0 ? 1 : 0
  const read = performance.now()
  const peak = /VmHWM:\s+(\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))?.[1]
  const { inputs } = artifact.manifest.ledger
  console.error(
    `  ${inputs} faces, ${rows} stay: merge ${((merged - start) / 1000).toFixed(1)} s, ` +
      `reading ${((read - merged) / 1000).toFixed(1)} s, ${Math.round(Number(peak) / 1024)} MiB ` +
      `resident, ${((await sizeOf(out)) / 2 ** 20).toFixed(0)} MiB on disk`,
  )
}

/** Seconds for all sizes; nothing else does the same. */
export async function openBench(
  { faces: sizes = '10000,100000,1000000', crop = '2000', drawn = 'mixed' }: BenchWords,
  peers: string,
): Promise<Bench> {
  const root = join(peers, 'scale')
  await mkdir(root, { recursive: true })
  return {
    name: 'scale',
    unit: 's',
    peer: undefined,
    ours: {
      name: 'merge and reading',
      async run() {
        const start = performance.now()
        for (const count of sizes.split(',').map(Number)) {
          const out = join(root, String(count))
          await rm(out, { recursive: true, force: true })
          await drawParts(out, count, Number(crop), drawn)
          const child = fork(fileURLToPath(import.meta.url), [out], {
            execArgv: ['--import', 'tsx'],
          })
          const [code] = (await once(child, 'close')) as [number | null]
          if (code !== 0) throw new Error(`${count} faces: ended with ${code}`)
          await rm(out, { recursive: true, force: true })
          await rm(`${out}.parts`, { recursive: true, force: true })
        }
        return (performance.now() - start) / 1000
      },
    },
  }
}

if (isEntry(import.meta.url)) await measure(process.argv[2]!)
