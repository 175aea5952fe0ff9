import { parentPort } from 'node:worker_threads'
import { register } from 'tsx/esm/api'

register()
const { serve } = await import('./onnx-thread.ts')
serve(parentPort)
