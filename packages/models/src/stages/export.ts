import { basename, dirname, extname, join } from 'node:path'
import { choice, defineStage, optionalPath, path, text } from '@deepfever/core'
import { openArtifact } from '@deepfever/formats'

import { openCheckpoint } from '../checkpoint.ts'
import { exportModel } from '../export.ts'
import { renderModelCard } from '../model-card.ts'
import { measureWeights } from '../weight-difference.ts'
import { writeWholeFile } from '../whole-file.ts'
import { readCrops, readScores } from './card-inputs.ts'

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
  summary: 'a checkpoint as ONNX, float32 and with uint8 weights, with contract and model card',
  behaviour: 1,
  options: {
    checkpoint: path('checkpoint artifact (made by: npx deepfever train)'),
    out: path(
      'FILE.onnx, or a folder; FILE.int8.onnx, contract.json and MODEL_CARD.md go beside it',
    ),
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
    reports: text({
      help: 'report artifacts with commas, of this checkpoint or its exported files, for the card',
      standard: '',
    }),
    faces: optionalPath('faces that the uint8 form is compared on; noise where there are none'),
  },
  async run({ checkpoint: from, out, type, layout, labels, reports, faces }, { log }) {
    const { network, state, specification, digest } = await openCheckpoint(from)
    const { manifest } = await openArtifact(from, 'checkpoint')
    const { onnx, small, contract } = exportModel(network, state, {
      labels: labels.split(',').map(label => label.trim()),
      licence: LICENCE,
      checkpoint: digest,
      terms: manifest.terms,
      type,
      layout,
    })
    const file = extname(out) === '.onnx' ? out : join(out, `${specification.kind}.onnx`)
    const smallFile = `${file.slice(0, -'.onnx'.length)}.int8.onnx`
    const names = { file: basename(file), smallFile: basename(smallFile) }
    const places = reports.split(',').filter(place => place !== '')
    const forms = new Map([
      [names.file, onnx],
      [names.smallFile, small],
    ])
    const scores = await readScores(places, digest, forms)
    const { crops, of } = await readCrops(faces, contract.input.size[0])
    const difference = await measureWeights(onnx, small, contract, crops, of)
    const beside = (name: string) => join(dirname(file), name)
    await writeWholeFile(file, onnx)
    await writeWholeFile(smallFile, small)
    const json = JSON.stringify({ file: names.file, ...contract }, null, 1)
    await writeWholeFile(beside('contract.json'), `${json}\n`)
    await writeWholeFile(
      beside('MODEL_CARD.md'),
      renderModelCard({ ...names, contract, manifest, digest, scores, difference }),
    )
    log.event('wrote', { path: file, sizeBytes: onnx.length, contract: beside('contract.json') })
    const { cosine, sameClass, timeRatio } = difference
    log.event('wrote', {
      ...{ path: smallFile, sizeBytes: small.length, crops: crops.length, sameClass, timeRatio },
      cosine: cosine.mean,
    })
  },
})
