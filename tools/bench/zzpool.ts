import { readFileSync } from 'node:fs'
import { setTimeout } from 'node:timers/promises'
import { findFaces } from '../../packages/detect/src/face-finder.ts'
const [n, workers] = [Number(process.argv[2]), Number(process.argv[3])]
const bytes = ['astronaut.png', 'grace-hopper.jpg'].map(f =>
  readFileSync(new URL(`../../datasets/demo/photos/${f}`, import.meta.url)),
)
async function* items() {
  for (let i = 0; i < n; i++) yield i
}
const t = performance.now()
let first = 0
const gate = { probability: 0.95, minFace: 40 }
let hash = 0
for await (const { answer } of findFaces(items(), i => ({ bytes: bytes[i % 2]!, gate }), {
  workers,
  detect: true,
})) {
  first ||= performance.now() - t
  if ('faces' in answer) for (const b of answer.faces[0]!.crop) hash = (hash * 31 + b) | 0
}
const c = process.cpuUsage()
console.log(
  n,
  workers,
  'first',
  first.toFixed(0),
  'total',
  (performance.now() - t).toFixed(0),
  'cpu',
  ((c.user + c.system) / 1e3).toFixed(0),
  hash,
)
