import { basename, dirname, extname, join } from 'node:path'
import { choice, defineStage, path, text } from '@deepfever/core'

import { openCheckpoint } from '../checkpoint.ts'
import { exportModel } from '../export.ts'
import { writeWholeFile } from '../whole-file.ts'

/** AffectNet's classes by label, as the networks here are trained. */
const AFFECTNET = 'neutral,happy,sad,surprise,fear,disgust,anger,contempt'

const LICENCE = [
  'network and code: Apache-2.0',
  'weights: the terms of what they were trained on hold. AffectNet: research under a signed ' +
    'agreement; FEC: the photographs belong to those who took them; published start weights: ' +
    'see the metadata of their file in datasets/weights',
]

/** Writes a trained network as ONNX, for programs in other languages. */
export const exportStage = defineStage({
  name: 'models export',
  summary: 'a checkpoint as ONNX, preprocessing inside, and its contract',
  behaviour: 1,
  options: {
    checkpoint: path('checkpoint artifact (made by: npx deepfever train)'),
    out: path('FILE.onnx, or a folder; contract.json goes beside it'),
    type: choice({
      help: 'of the pixels, 0 to 255 in either',
      choices: ['uint8', 'float32'],
      standard: 'uint8',
    }),
    layout: choice({
      help: 'nhwc: channels last, as decoded pictures lie in memory',
      choices: ['nhwc', 'nchw'],
      standard: 'nhwc',
    }),
    labels: text({ help: 'names of the expression classes, with commas', standard: AFFECTNET }),
  },
  async run({ checkpoint: from, out, type, layout, labels }, { log }) {
    const { network, state, specification, digest } = await openCheckpoint(from)
    const { onnx, contract } = exportModel(network, state, {
      labels: labels.split(',').map(label => label.trim()),
      licence: LICENCE,
      checkpoint: digest,
      type,
      layout,
    })
    const file = extname(out) === '.onnx' ? out : join(out, `${specification.kind}.onnx`)
    await writeWholeFile(file, onnx)
    const beside = join(dirname(file), 'contract.json')
    await writeWholeFile(
      beside,
      `${JSON.stringify({ file: basename(file), ...contract }, null, 1)}\n`,
    )
    log.event('wrote', { path: file, sizeBytes: onnx.length, contract: beside })
  },
})
