import { readFileSync, readdirSync } from 'node:fs'
import { decodePicture } from '@deepfever/media'
import { openSession } from '@deepfever/runtime/onnx'
import { detectorOf } from '../../packages/detect/src/mtcnn/detector.ts'
import { readMtcnn } from '../../packages/detect/src/mtcnn/models.ts'
import { scalesOf, toIntegral } from '../../packages/detect/src/mtcnn/pyramid.ts'
const m = await readMtcnn()
const ms: Record<string, number> = {}
const cpu = () => {
  const c = process.cpuUsage()
  return (c.user + c.system) / 1e3
}
const open = async (n: 'pnet' | 'rnet' | 'onet') => {
  const s = await openSession(m[n], { threads: 1 })
  return {
    ...s,
    async run(x: any) {
      const t = cpu()
      const r = await s.run(x)
      ms[n] = (ms[n] ?? 0) + cpu() - t
      return r
    },
  }
}
const d = detectorOf({
  pnet: await open('pnet'),
  rnet: await open('rnet'),
  onet: await open('onet'),
} as any)
const dir = new URL('../../.bench/pictures/', import.meta.url)
for (const f of readdirSync(dir)) {
  const b = readFileSync(new URL(f, dir))
  let t = cpu()
  const p = await decodePicture(b)
  const dec = cpu() - t
  for (let i = 0; i < 3; i++) await d(p)
  for (const k in ms) delete ms[k]
  t = cpu()
  toIntegral(p)
  const ti = cpu() - t
  t = cpu()
  const w = performance.now()
  for (let i = 0; i < 3; i++) await d(p)
  console.log(
    f,
    'decode',
    dec.toFixed(0),
    'integral',
    ti.toFixed(0),
    'cpu',
    ((cpu() - t) / 3).toFixed(0),
    'wall',
    ((performance.now() - w) / 3).toFixed(0),
    Object.entries(ms)
      .map(([k, v]) => k + ' ' + (v / 3).toFixed(0))
      .join(' '),
  )
}
