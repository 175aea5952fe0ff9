import { readFile } from 'node:fs/promises'
import { FormatError, defineStage, optionalPath, path } from '@deepfever/core'
import { readModel } from '@deepfever/models'
import { openSession } from '@deepfever/runtime/onnx'

/** What a model file holds and what its contract says of it. */
export const info = defineStage({
  name: 'info',
  summary: "an ONNX model's inputs and outputs, and what its contract says",
  behaviour: 1,
  words: ['model'],
  options: {
    model: path('FILE.onnx; or the first word'),
    contract: optionalPath('contract of the model, where it lies elsewhere'),
  },
  async run({ model, contract }) {
    const bytes = await readFile(model).catch((thrown: unknown) => {
      throw new FormatError(`${model}: not readable, wanted an ONNX model`, { model }, thrown)
    })
    const session = await openSession(bytes, { threads: 1 })
    const { inputs, outputs } = session
    await session.close()
    const lines = [
      `file     ${model}, ${bytes.length} bytes`,
      `inputs   ${inputs.join(', ')}`,
      `outputs  ${outputs.join(', ')}`,
    ]
    process.stdout.write(`${lines.join('\n')}\n`)
    const found = await readModel(model, { contract, output: '' })
    process.stdout.write(`digest   ${found.digest}\n${JSON.stringify(found.contract, null, 1)}\n`)
  },
})
