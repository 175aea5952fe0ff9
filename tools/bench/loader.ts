// Decoding, mirroring and normalising stored crops against a PyTorch DataLoader, two workers each,
// on the same JPEG files: npm run bench -- loader [--crops=4096] [--batch=140]
import { mkdir, readdir, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { mapOrdered, openRandom } from '@deepfever/core'
import { encodeJpeg } from '@deepfever/media'
import { IMAGENET_NORMALISATION } from '@deepfever/models'
import { openPool } from '@deepfever/runtime/onnx'
import type { LoadJob, Loaded } from '../../packages/train/src/crop-loading.ts'
import type { Bench, BenchWords, Side } from './bench.ts'
import { openPeer, openPython } from './peer.ts'

const SIDE = 140
const WORKERS = 2

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

/** Opens both sides on the same files. */
export async function openBench(
  { crops = '4096', batch = '140' }: BenchWords,
  peers: string,
): Promise<Bench> {
  const folder = join(peers, 'crops')
  const paths = await writeCrops(folder, Number(crops))
  const sizes = await Promise.all(paths.map(async path => (await stat(path)).size))
  const mean = sizes.reduce((sum, size) => sum + size, 0) / sizes.length
  console.error(`${paths.length} crops of ${(mean / 1024).toFixed(1)} KiB on average`)
  const work = new URL('../../packages/train/src/crop-loading.ts', import.meta.url)
  const pool = openPool<LoadJob, Loaded>({}, { workers: WORKERS, work })
  function* jobs(pass: number) {
    const random = openRandom(`pass ${pass}`)
    const order = random.shuffle([...paths.keys()])
    for (let start = 0; start < order.length; start += Number(batch))
      yield order.slice(start, start + Number(batch)).map(i => ({
        ...{ path: paths[i]!, offset: 0, sizeBytes: sizes[i]!, faceId: paths[i]! },
        flipped: random.next() < 0.5,
      }))
  }
  let pass = 0
  const run = async () => {
    const start = performance.now()
    let images = 0
    const batches = mapOrdered(jobs(pass++), WORKERS + 1, own =>
      pool.run({ crops: own, side: SIDE, normalisation: IMAGENET_NORMALISATION }),
    )
    for await (const loaded of batches) images += loaded.images.length / (3 * SIDE * SIDE)
    if (images !== paths.length) throw new Error(`loaded ${images} of ${paths.length} crops`)
    return (1000 * images) / (performance.now() - start)
  }
  const ours: Side = { name: 'deepfever', run, close: () => pool.close() }
  // warm: threads started, files in the page cache
  await run()
  const requirements = ['torch==2.13.0', 'numpy==2.4.6', 'pillow==12.0.0']
  const python = await openPython(peers, 'loader', requirements)
  const script = fileURLToPath(new URL('peers/loader.py', import.meta.url))
  const peer = openPeer('pytorch 2.13.0 DataLoader', python, [script, folder, batch, `${WORKERS}`])
  await peer.hello()
  return { name: 'loader', unit: 'images/s', ours, peer }
}
