// What a run keeps in memory beside its network: opens drawn training data and loads batches of it
// with two threads, in a process of its own: npm run bench -- tables --rounds=1
//   [--unlabelled=1000000] [--labelled=290000] [--triplets=500000] [--targets=true]
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync } from 'node:fs'
import { mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { openRandom, silentLog } from '@deepfever/core'
import { faces, openArtifact, targets, triplets, writeArtifact } from '@deepfever/formats'
import { encodeJpeg } from '@deepfever/media'
import student from '../../packages/train/configs/student.ts'
import { openBatches } from '../../packages/train/src/batches.ts'
import { readTrainingData } from '../../packages/train/src/training-data.ts'
import { isEntry } from '../faults.ts'
import type { Bench, BenchWords } from './bench.ts'

const SIDE = 140
const WORKERS = 2
const STEPS = 100
/** Faces of the triplets, as many to one as in FEC. */
const FACES_A_TRIPLET = 0.3
const WIDTH = 2

const idOf = (name: string, i: number) =>
  `${(openRandom(name).below(2 ** 20) * 2 ** 28 + i).toString(16).padStart(16, '0')}@${i % 10}000000#0`

/** Writes a faces artifact of one crop; with `count` triplets of its faces where that is above 0. */
async function drawFaces(out: string, name: string, rows: number, count = 0): Promise<void> {
  const data = new Uint8Array(3 * SIDE * SIDE).fill(120)
  const crop = await encodeJpeg({ width: SIDE, height: SIDE, data })
  const spec = { out, kind: 'faces', stage: 'draw', behaviour: 1, identity: {}, inputs: [] }
  await writeArtifact(spec, silentLog, async write => {
    const random = openRandom(`triplets of ${name}`)
    const cut = { box: new Float32Array(4), landmarks: new Float32Array(10), crop }
    for (let i = 0; i < rows; i++) {
      const faceId = idOf(name, i)
      const from = { frameId: faceId.slice(0, -2), source: `${name}/${faceId.slice(0, 16)}.mp4` }
      const row = { faceId, ...from, ...cut, probability: 1, cropKind: 'detected', split: 'train' }
      await write.append(faces, { ...row, label: i % 8 })
      if (i % 1000 === 0) await write.done(faceId, 0)
    }
    for (let i = 0; i < count; i++) {
      const [first, second, third] = [0, 1, 2].map(() => idOf(name, random.below(rows)))
      const three = { first: first!, second: second!, third: third! }
      const vote = { odd: i % 3, kind: 'TWO_CLASS_TRIPLET', votesFor: 6, votesTotal: 6 }
      await write.append(triplets, {
        tripletId: `fec:train-${i}`,
        ...three,
        ...vote,
        split: 'train',
      })
      if (i % 1000 === 0) await write.done(`triplet ${i}`, 0)
    }
    write.accept(rows)
    await write.done('all', rows)
  })
}

/** Writes narrow targets of every face: what stands in memory does not depend on their width. */
async function drawTargets(out: string, of: readonly (readonly [string, number])[]): Promise<void> {
  const spec = { out, kind: 'targets', stage: 'draw', behaviour: 1, identity: {}, inputs: [] }
  await writeArtifact(spec, silentLog, async write => {
    write.describe({ blocks: ['a', 'b'].map((teacher, start) => ({ teacher, start, width: 1 })) })
    const target = new Float32Array(WIDTH)
    for (const [name, rows] of of)
      for (let i = 0; i < rows; i++) {
        const faceId = idOf(name, i)
        for (const view of ['plain', 'flipped'])
          await write.append(targets, { faceId, view, target })
        if (i % 1000 === 0) await write.done(faceId, 0)
      }
    await write.done('all', 0)
  })
}

const statusMiB = (key: string) =>
  Math.round(
    Number(new RegExp(`${key}:\\s+(\\d+)`).exec(readFileSync('/proc/self/status', 'utf8'))?.[1]) /
      1024,
  )

/** Opens the data and loads batches; says what it took. */
async function measure(root: string, isDistilled: boolean): Promise<void> {
  const open = (name: string) => openArtifact(join(root, name), 'faces')
  const sources = { fec: await open('fec'), affectnet: await open('affectnet') }
  const powder = await open('powder')
  const own = isDistilled ? { targets: await openArtifact(join(root, 'targets'), 'targets') } : {}
  const experiment = isDistilled
    ? student.experiment
    : { ...student.experiment, distillation: 'none' as const }
  const before = statusMiB('VmRSS')
  const start = performance.now()
  const data = await readTrainingData({ ...sources, powder, ...own }, experiment, root)
  const seconds = (performance.now() - start) / 1000
  const opened = statusMiB('VmRSS')
  const peak = statusMiB('VmHWM')
  const batches = openBatches(data, experiment, { workers: WORKERS })
  let images = 0
  const from = performance.now()
  for await (const { faceIds } of batches.from(0, STEPS)) images += faceIds.length
  const rate = (1000 * images) / (performance.now() - from)
  const loading = statusMiB('VmRSS')
  await batches.close()
  const { labelled, unlabelled } = data
  console.error(
    `  ${unlabelled.length} unlabelled, ${labelled.length} labelled, ${data.triplets.length} triplets: ` +
      `opened in ${seconds.toFixed(1)} s; resident MiB: ${before} before, ${peak} at most while ` +
      `opening, ${opened} open, ${loading} after ${STEPS} batches on ${WORKERS} threads ` +
      `(${rate.toFixed(0)} images/s); ${statusMiB('VmHWM') - before} of its own at most`,
  )
}

/** MiB resident at most; nothing else does the same. */
export async function openBench(words: BenchWords, peers: string): Promise<Bench> {
  const { unlabelled = '1000000', labelled = '290000', triplets: count = '500000' } = words
  const isDistilled = words.targets === 'true'
  const root = join(peers, ['tables', unlabelled, labelled, count].join('-'))
  const sizes = [
    ['powder', Number(unlabelled)],
    ['affectnet', Number(labelled)],
    ['fec', Math.max(3, Math.round(Number(count) * FACES_A_TRIPLET))],
  ] as const
  await mkdir(root, { recursive: true })
  for (const [name, rows] of sizes)
    if (!existsSync(join(root, name)))
      await drawFaces(join(root, name), name, rows, name === 'fec' ? Number(count) : 0)
  if (isDistilled && !existsSync(join(root, 'targets')))
    await drawTargets(join(root, 'targets'), sizes)
  return {
    name: 'tables',
    unit: 's',
    peer: undefined,
    ours: {
      name: 'opening and loading',
      async run() {
        const start = performance.now()
        const child = fork(fileURLToPath(import.meta.url), [root, `${isDistilled}`], {
          execArgv: ['--import', 'tsx'],
        })
        const [code] = (await once(child, 'close')) as [number | null]
        if (code !== 0) throw new Error(`ended with ${code}`)
        await rm(join(root, 'targets.f32'), { force: true })
        return (performance.now() - start) / 1000
      },
    },
  }
}

if (isEntry(import.meta.url)) await measure(process.argv[2]!, process.argv[3] === 'true')
