// MTCNN against facenet-pytorch 2.6.0, two threads each: npm run bench -- detect [--pictures=32]
// From the JPEG file to boxes, landmarks and 140-pixel crops; facenet-pytorch without the crops.
import { spawnSync } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { readPicture } from '@deepfever/media'
import { findFaces, openDetector } from '@deepfever/faces'
import type { Bench, BenchWords, Side } from './bench.ts'
import { openPeer, openPython } from './peer.ts'
import { writePictures } from './pictures.ts'

const THREADS = 2
const PIXELS = 1

const DEBIAN_PYTHON = '/usr/bin/python3'

/** facenet-pytorch on Debian's PyTorch: it asks for releases below 2.3, which PyPI has no more. */
async function openFacenet(peers: string, words: readonly string[]) {
  const { status } = spawnSync(DEBIAN_PYTHON, ['-c', 'import torch, torchvision, venv, ensurepip'])
  if (status !== 0)
    throw new Error(
      `${DEBIAN_PYTHON} has no torch; install it with: ` +
        'apt-get install python3-torch python3-torchvision python3-venv',
    )
  const requirements = ['--no-deps', 'facenet-pytorch==2.6.0', 'tqdm', 'requests']
  const options = { base: DEBIAN_PYTHON, system: true }
  const python = await openPython(peers, 'facenet', requirements, options)
  const script = fileURLToPath(new URL('peers/detect.py', import.meta.url))
  return openPeer('facenet-pytorch 2.6.0', python, [script, ...words])
}

interface PeerFaces {
  readonly boxes: readonly (readonly number[])[]
}

/** Throws unless both sides find the same faces, every side of a box within a pixel. */
async function requireSameFaces(paths: readonly string[], peers: readonly PeerFaces[]) {
  const detector = await openDetector()
  for (const [i, path] of paths.entries()) {
    const wanted = peers[i]!.boxes
    const found = await detector.detect(await readPicture(path, { upright: false }))
    const off = found.map(({ box }) =>
      Math.min(...wanted.map(other => Math.max(...other.map((v, k) => Math.abs(v - box[k]!))))),
    )
    if (found.length !== wanted.length || off.some(distance => distance > PIXELS))
      throw new Error(
        `${path}: found ${found.length} faces, worst side off by ${Math.max(0, ...off)} px; wanted ` +
          `facenet-pytorch's ${wanted.length} within ${PIXELS} px`,
      )
    const worst = Math.max(0, ...off).toFixed(3)
    console.error(`${path}: ${found.length} faces on both sides, sides within ${worst} px`)
  }
  await detector.close()
}

/** Opens both sides on the same files. */
export async function openBench({ pictures = '32' }: BenchWords, peers: string): Promise<Bench> {
  const paths = await writePictures(join(peers, 'pictures'))
  const peer = await openFacenet(peers, [pictures, `${THREADS}`, ...paths])
  await requireSameFaces(paths, JSON.parse(await peer.hello()) as PeerFaces[])
  const files = await Promise.all(paths.map(path => readFile(path)))
  const gate = { probability: 0.95, minFace: 40 }
  const ours: Side = {
    name: 'deepfever',
    async run() {
      async function* items() {
        for (let i = 0; i < Number(pictures); i++) yield Promise.resolve(i)
      }
      const start = performance.now()
      const jobOf = (i: number) => ({ file: files[i % files.length]!, gate })
      for await (const { answer } of findFaces(items(), jobOf, { workers: THREADS, detect: true }))
        if ('rejected' in answer) throw new Error(`a picture was rejected: ${answer.rejected}`)
      return (1000 * Number(pictures)) / (performance.now() - start)
    },
  }
  // warm: threads started, memory taken
  await ours.run()
  return { name: 'detect', unit: 'pictures/s', ours, peer }
}
