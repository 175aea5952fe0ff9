import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { seedOf, wordAt } from '@deepfever/core'
import type { Side } from './bench.ts'
import { openPeer, openPython } from './peer.ts'

/** Threads of either side. */
export const THREADS = 2
const SIDE = 140

/** RGB pictures of 140 x 140 that both sides make of the same name. */
export function drawPictures(count: number): { width: number; height: number; data: Uint8Array }[] {
  const seed = seedOf('bench')
  const sizeBytes = SIDE * SIDE * 3
  return Array.from({ length: count }, (_, i) => ({
    width: SIDE,
    height: SIDE,
    data: Uint8Array.from({ length: sizeBytes }, (_, k) => wordAt(seed, i * sizeBytes + k) & 255),
  }))
}

/**
 * PyTorch 2.13.0 eager on the same pictures and weights.
 *
 * @returns the peer, and its results for the first block, float32, to compare with
 */
export async function openTorch(
  peers: string,
  kind: 'targets' | 'embed',
  pictures: number,
): Promise<{ side: Side; first: () => Promise<Float32Array> }> {
  const python = await openPython(peers, 'torch-2.13.0', ['torch==2.13.0', 'numpy==2.4.6'])
  const script = fileURLToPath(new URL('peers/inference.py', import.meta.url))
  const results = join(peers, `${kind}.f32`)
  const words = [script, kind, `${pictures}`, `${THREADS}`, results]
  const side = openPeer('pytorch 2.13.0', python, words)
  return {
    side,
    async first() {
      const bytes = await readFile(results)
      return new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length))
    },
  }
}

/** Throws unless `found` is `wanted` up to rounding: 1e-3 of the largest value. */
export function requireSame(found: Float32Array, wanted: Float32Array): void {
  const largest = wanted.reduce((max, v) => Math.max(max, Math.abs(v)), 0)
  const worst = found.reduce((max, v, i) => Math.max(max, Math.abs(v - wanted[i]!)), 0)
  if (found.length !== wanted.length || !(worst <= 1e-3 * largest))
    throw new Error(
      `${found.length} values off by up to ${worst}, wanted PyTorch's ${wanted.length} (largest ${largest})`,
    )
  console.error(`both sides agree within ${(worst / largest).toExponential(1)} of the largest value`)
}
