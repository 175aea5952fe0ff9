import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { readMtcnn } from '@deepfever/faces'
import { defineConfig, type Plugin } from 'vite'

/** The detector's networks, and the student of the folder named in DEEPFEVER_MODEL, if any. */
function modelFiles(): Plugin {
  return {
    name: 'model-files',
    apply: 'build',
    async buildStart() {
      const emit = (name: string, source: Uint8Array) =>
        this.emitFile({ type: 'asset', fileName: `models/${name}`, source })
      for (const [name, onnx] of Object.entries(await readMtcnn())) emit(`${name}.onnx`, onnx)
      const folder = process.env['DEEPFEVER_MODEL']
      if (!folder) return
      const contract = await readFile(join(folder, 'contract.json'))
      const { file } = JSON.parse(contract.toString()) as { file: string }
      emit('student.onnx', await readFile(join(folder, file)))
      emit('contract.json', contract)
    },
  }
}

export default defineConfig({
  base: './',
  plugins: [modelFiles()],
  resolve: {
    // The detector needs only core's errors; the rest of core is for Node.
    alias: { '@deepfever/core': new URL('../core/src/errors.ts', import.meta.url).pathname },
  },
  build: {
    outDir: '../../.artifacts/web',
    emptyOutDir: true,
    target: 'es2022',
    assetsInlineLimit: 0,
    modulePreload: false,
  },
  preview: { host: '127.0.0.1' },
})
