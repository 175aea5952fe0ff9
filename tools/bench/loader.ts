// Decoding, mirroring and normalising stored crops against a PyTorch DataLoader, two workers each,
// on the same JPEG files: npm run bench -- loader [--crops=4096] [--batch=140] [--backend=native]
import { mkdir, readdir, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { openRandom } from '@deepfever/core'
import { encodeJpeg } from '@deepfever/media'
import { openBackend, type BackendOptions } from '@deepfever/runtime'
import student from '../../packages/train/configs/student.ts'
import { openBatches } from '../../packages/train/src/batches.ts'
import type { TrainingData } from '../../packages/train/src/training-data.ts'
import type { Bench, BenchWords, Side } from './bench.ts'
import { openPeer, openPython } from './peer.ts'

const SIDE = 140
const WORKERS = 2
const WARM_MS = 3000

/** Writes `count` drawn crops as a detection stores them: smooth shapes, some grain. */
async function writeCrops(folder: string, count: number): Promise<string[]> {
  const names = await readdir(folder).catch(() => [])
  if (names.length !== count) {
    await rm(folder, { recursive: true, force: true })
    await mkdir(folder, { recursive: true })
    for (let i = 0; i < count; i++) {
      const random = openRandom(`crop ${i}`)
      const [fx, fy, tint] = [random.next() / 9, random.next() / 9, 60 + random.below(60)]
      const data = Uint8Array.from({ length: 3 * SIDE * SIDE }, (_, k) => {
        const [x, y] = [Math.floor(k / 3) % SIDE, Math.floor(k / 3 / SIDE)]
        return tint + 50 * Math.sin(fx * x + (k % 3)) + 40 * Math.cos(fy * y) + random.below(12)
      })
      const jpeg = await encodeJpeg({ width: SIDE, height: SIDE, data })
      await writeFile(join(folder, `${String(i).padStart(6, '0')}.jpg`), jpeg)
    }
  }
  return (await readdir(folder)).sort().map(name => join(folder, name))
}

/** A stream of unlabelled faces whose crops are these files. */
function dataOf(paths: readonly string[], sizes: readonly number[]): TrainingData {
  const none = { length: 0, rowsOf: () => [0, 0, 0] as const, oddOf: () => 0, marginOf: () => 0 }
  return {
    faces: {
      length: paths.length,
      idOf: row => paths[row]!,
      labelOf: () => -1,
      placeOf: row => ({ path: paths[row]!, offset: 0, sizeBytes: sizes[row]! }),
    },
    ...{ triplets: none, heldOut: none, labelled: new Int32Array(), targets: undefined },
    unlabelled: Int32Array.from(paths.keys()),
  }
}

/** Opens both sides on the same files. */
export async function openBench(
  { crops = '4096', batch = '140', backend = 'auto' }: BenchWords,
  peers: string,
): Promise<Bench> {
  const folder = join(peers, 'crops')
  const paths = await writeCrops(folder, Number(crops))
  const sizes = await Promise.all(paths.map(async path => (await stat(path)).size))
  const mean = sizes.reduce((sum, size) => sum + size, 0) / sizes.length
  console.error(`${paths.length} crops of ${(mean / 1024).toFixed(1)} KiB on average`)
  const { addon } = await openBackend({ prefer: backend as BackendOptions['prefer'] & string })
  const unlabelled = Number(batch)
  const experiment = { ...student.experiment, batch: { triplets: 0, labelled: 0, unlabelled } }
  const batches = openBatches(dataOf(paths, sizes), experiment, { workers: WORKERS, addon })
  const steps = Math.floor(paths.length / unlabelled)
  let first = 0
  const run = async () => {
    const start = performance.now()
    let images = 0
    for await (const loaded of batches.from(first, first + steps))
      images += loaded.images.length / (3 * SIDE * SIDE)
    first += steps
    return (1000 * images) / (performance.now() - start)
  }
  const ours: Side = { name: 'deepfever', run, close: () => batches.close() }
  // warm: the files in the page cache, and every thread started, for which jobs have to keep coming
  const warm = performance.now() + WARM_MS
  do await run()
  while (performance.now() < warm)
  const requirements = ['torch==2.13.0', 'numpy==2.4.6', 'pillow==12.0.0']
  const python = await openPython(peers, 'loader', requirements)
  const script = fileURLToPath(new URL('peers/loader.py', import.meta.url))
  const peer = openPeer('pytorch 2.13.0 DataLoader', python, [script, folder, batch, `${WORKERS}`])
  await peer.hello()
  return { name: 'loader', unit: 'images/s', ours, peer }
}
