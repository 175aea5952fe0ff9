import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { seedOf, wordAt } from '@deepfever/core'
import type { Picture } from '@deepfever/media'
import { openPeer, openPython, type Peer } from './peer.ts'

/** Threads of either side. */
export const THREADS = 2
const SIDE = 140

/** RGB pictures of 140 x 140 that both sides make of the same name. */
export function drawPictures(count: number): Picture[] {
  const seed = seedOf('bench')
  const sizeBytes = SIDE * SIDE * 3
  return Array.from({ length: count }, (_, i) => ({
    width: SIDE,
    height: SIDE,
    data: Uint8Array.from({ length: sizeBytes }, (_, k) => wordAt(seed, i * sizeBytes + k) & 255),
  }))
}

/**
 * Opens PyTorch 2.13.0 eager on the same pictures and weights; throws unless `found`, our results
 * for the first block, are its own up to rounding (1e-3 of the largest value).
 */
export async function openTorch(
  peers: string,
  kind: 'targets' | 'embed',
  pictures: string,
  found: Float32Array,
): Promise<Peer> {
  const python = await openPython(peers, 'torch', ['torch==2.13.0', 'numpy==2.4.6'])
  const script = fileURLToPath(new URL('peers/inference.py', import.meta.url))
  const results = join(peers, `${kind}.f32`)
  const words = [script, kind, pictures, `${THREADS}`, results]
  const peer = openPeer('pytorch 2.13.0 eager', python, words)
  await peer.hello()
  requireSame(found, new Float32Array(new Uint8Array(await readFile(results)).buffer))
  return peer
}

function requireSame(found: Float32Array, wanted: Float32Array): void {
  const largest = wanted.reduce((max, v) => Math.max(max, Math.abs(v)), 0)
  const worst = found.reduce((max, v, i) => Math.max(max, Math.abs(v - wanted[i]!)), 0)
  if (found.length !== wanted.length || !(worst <= 1e-3 * largest))
    throw new Error(
      `${found.length} values off by up to ${worst}, wanted PyTorch's ${wanted.length} (largest ${largest})`,
    )
  console.error(
    `both sides agree within ${(worst / largest).toExponential(1)} of the largest value`,
  )
}

/** Pictures of one run of a network on either side. */
export const BLOCK = 32

/** `pictures` in blocks. */
export function* blocksOf(pictures: readonly Picture[]): Generator<readonly Picture[]> {
  for (let first = 0; first < pictures.length; first += BLOCK)
    yield pictures.slice(first, first + BLOCK)
}
