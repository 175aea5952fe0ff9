// The linear probe at AffectNet's size against scikit-learn, two threads each, 100 iterations:
// npm run bench -- probe [--rows=287651] [--width=256]
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { openRandom } from '@deepfever/core'
import { fitLogisticInThreads, type LogisticFit } from '@deepfever/eval'
import type { Bench, BenchWords, Side } from './bench.ts'
import { openPeer, openPython } from './peer.ts'

const THREADS = 2
const ITERATIONS = 100
const C = 10_000
/** AffectNet's training faces by class. */
const COUNTS = [74874, 134415, 25459, 14090, 6378, 3803, 24882, 3750]
/** How far two objectives after 100 iterations may be apart, relative. */
const SAME = 0.01

/** Features around one centre a class, classes as frequent as in AffectNet. */
function drawFeatures(rows: number, width: number) {
  const random = openRandom('bench/probe')
  const centres = Float64Array.from({ length: COUNTS.length * width }, () => random.normal())
  const total = COUNTS.reduce((a, b) => a + b)
  const labels = new Int32Array(rows)
  const features = new Float32Array(new SharedArrayBuffer(rows * width * 4))
  for (let row = 0; row < rows; row++) {
    let left = random.below(total)
    const label = COUNTS.findIndex(count => (left -= count) < 0)
    labels[row] = label
    for (let j = 0; j < width; j++)
      features[row * width + j] = 0.3 * centres[label * width + j]! + 4 * random.next()
  }
  return { features, labels, width }
}

/** Largest memory of this process so far, KiB. */
async function peakKib(): Promise<number> {
  const status = await readFile('/proc/self/status', 'utf8').catch(() => '')
  return Number(/VmHWM:\s+(\d+)/.exec(status)?.[1] ?? NaN)
}

/** Opens both sides on the same features; throws unless they reach the same objective. */
export async function openBench(
  { rows = '287651', width = '256' }: BenchWords,
  peers: string,
): Promise<Bench> {
  const before = await peakKib()
  const data = drawFeatures(Number(rows), Number(width))
  const options = { ...data, classes: COUNTS.length, C, balanced: true, maxIter: ITERATIONS }
  const fit = (): Promise<LogisticFit> =>
    fitLogisticInThreads({ ...options, tolerance: 1e-300 }, THREADS)
  const { objective, iterations, evaluations } = await fit()
  const share = (kib: number) => ((kib * 1024) / data.features.byteLength).toFixed(2)
  const ours = (await peakKib()) - before
  console.error(
    `deepfever: objective ${objective} after ${iterations} iterations, ${evaluations} evaluations; peak memory ${share(ours)} x the float32 features`,
  )

  const folder = join(peers, 'probe')
  await mkdir(folder, { recursive: true })
  await writeFile(join(folder, 'features.f32'), new Uint8Array(data.features.buffer))
  await writeFile(join(folder, 'labels.i32'), new Uint8Array(data.labels.buffer))
  const python = await openPython(peers, 'sklearn', ['scikit-learn==1.9.1'])
  const script = fileURLToPath(new URL('peers/probe.py', import.meta.url))
  const peer = openPeer('scikit-learn 1.9.1', python, [
    ...[script, folder, rows, width, `${COUNTS.length}`, `${C}`, `${ITERATIONS}`, `${THREADS}`],
  ])
  const found = JSON.parse(await peer.hello()) as { objective: number; peakKib: number }
  console.error(
    `scikit-learn: objective ${found.objective}; peak memory ${share(found.peakKib)} x the float32 features`,
  )
  if (!(Math.abs(objective / found.objective - 1) <= SAME))
    throw new Error(
      `found objective ${objective}, wanted ${found.objective} within ${100 * SAME} %`,
    )
  const side: Side = {
    name: 'deepfever',
    async run() {
      const start = performance.now()
      await fit()
      return (performance.now() - start) / 1000
    },
  }
  return { name: 'probe', unit: 's', ours: side, peer }
}
