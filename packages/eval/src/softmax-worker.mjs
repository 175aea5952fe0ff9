import { parentPort, workerData } from 'node:worker_threads'
import { register } from 'tsx/esm/api'

register()
const { joinTeam } = await import('./softmax-team.ts')
joinTeam(workerData, () => parentPort.postMessage('ready'))
