import { readFileSync } from 'node:fs'
import { openDetector } from '../../packages/detect/src/mtcnn/index.ts'
import { facesOf } from '../../packages/detect/src/picture-work.ts'
const bytes = ['astronaut.png','grace-hopper.jpg'].map(f => readFileSync(new URL(`../../datasets/demo/photos/${f}`, import.meta.url)))
const gate = { probability: .95, minFace: 40 }
const t = performance.now()
const d = await openDetector(); const o = performance.now()-t
await facesOf({ bytes: bytes[0]!, gate }, d.detect)
console.log('local open', o.toFixed(0), 'first', (performance.now()-t).toFixed(0))
