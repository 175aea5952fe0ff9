import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { stat } from 'node:fs/promises'
import { basename } from 'node:path'
import { pipeline } from 'node:stream/promises'
import {
  FormatError,
  StageError,
  choice,
  defineStage,
  optionalPath,
  path,
  type Context,
} from '@deepfever/core'
import { encodeSafetensors, readWeights, type StateDict } from '@deepfever/formats'

import { importWeights } from '../import.ts'
import {
  PUBLISHED_WEIGHTS,
  WEIGHTS_FOLDER,
  recogniseWeights,
  weightsPath,
  type PublishedWeights,
} from '../published-weights.ts'
import { floatsOf } from '../state.ts'
import { writeWholeFile } from '../whole-file.ts'

type Into = PublishedWeights['into']

const BACKBONE_NAMES = ['densenet201', 'resnet50', 'mobilenet-v2'] as const

/** Brings a public weight file to the place and the names that training reads. */
export const importStage = defineStage({
  name: 'models import',
  summary: 'published weights to where training looks for them',
  behaviour: 1,
  options: {
    weights: path('the public file: .pt, .pth or .safetensors'),
    into: choice({ help: 'the network that starts from it', choices: ['teacher', 'student'] }),
    backbone: choice({
      help: 'what the file holds, for a student; detect: told by the names of the tensors',
      choices: ['detect', ...BACKBONE_NAMES],
      standard: 'detect',
    }),
    out: optionalPath('folder for the result', WEIGHTS_FOLDER),
  },
  async run({ weights: file, into, backbone, out }, context) {
    await requireFile(file, into)
    const weights = await readWeights(file)
    const published =
      backbone === 'detect'
        ? detect(weights, file, into)
        : PUBLISHED_WEIGHTS.find(({ name }) => name === backbone)!
    await importFile({ file, weights, published, out }, context)
  },
})

interface Import {
  readonly file: string
  readonly weights: StateDict
  readonly published: PublishedWeights
  readonly out: string
}

/** Fits the tensors, says what became of each, and writes those that were taken. */
async function importFile({ file, weights, published, out }: Import, { log }: Context) {
  const { name, source, left } = published
  const fitted = importWeights(published.network(), new Map(), weights, source, file)
  const { used, ignored, missing, state } = fitted
  log.event('tensors', {
    of: name,
    used: used.length,
    usedParts: summaryOf(used),
    ignored: ignored.length,
    ignoredParts: summaryOf(ignored),
    missing: missing.length,
  })
  const foreign = ignored.filter(key => !left.includes(key.split('.')[0]!))
  if (foreign.length > 0)
    throw new FormatError(
      `${file}: ${foreign.length} tensors have no place in ${name}, first is ${foreign[0]}; ` +
        `this is a larger network of the same family, wanted ${filesOf(published)}`,
      { path: file, found: foreign.slice(0, 8), wanted: name },
    )
  if (missing.length > 0)
    throw new FormatError(
      `${file}: lacks ${missing.length} of ${missing.length + used.length} tensors of ${name}, ` +
        `first is ${missing[0]}; wanted ${filesOf(published)}`,
      { path: file, missing: missing.slice(0, 8), wanted: name },
    )
  requireFinite(state, file)
  const digest = await digestOf(file)
  const promised = /-([0-9a-f]{8})\.pth$/.exec(file)?.[1]
  if (promised && !digest.startsWith(promised))
    log.warn(`${file}: its name promises a sha256 that starts with ${promised}, found ${digest}`, {
      path: file,
    })
  const known = published.files.find(entry => entry.name === basename(file))
  const place = weightsPath(published, out)
  const bytes = encodeSafetensors(state, {
    format: 'pt',
    model: name,
    source: basename(file),
    sha256: digest,
    licence: known?.licence ?? 'unknown: the name of the file is none of the published ones',
  })
  await writeWholeFile(place, bytes)
  log.event('wrote', { path: place, sizeBytes: bytes.length, source: basename(file) })
}

/** @throws FormatError listing what is known, when the tensors are of no or of another network */
function detect(weights: StateDict, file: string, into: Into): PublishedWeights {
  const published = recogniseWeights(weights)
  if (published?.into === into) return published
  const [first = '(none)'] = weights.keys()
  throw new FormatError(
    published
      ? `${file}: holds ${published.name}, which starts a ${published.into}; ` +
          `use --into=${published.into}`
      : `${file}: ${weights.size} tensors of an unknown network, first is ${first}; ` +
          `known are ${listOf(into)}`,
    { path: file, found: published?.name ?? first, wanted: into },
  )
}

async function requireFile(file: string, into: Into): Promise<void> {
  const found = await stat(file).catch((thrown: NodeJS.ErrnoException) => {
    if (thrown.code !== 'ENOENT' && thrown.code !== 'ENOTDIR') throw thrown
    return undefined
  })
  if (found?.isFile()) return
  throw new StageError(
    `${file}: ${found ? 'is no file' : 'no such file'}; a ${into} starts from ${listOf(into)}`,
    { path: file },
  )
}

/** @throws FormatError naming the first tensor with a NaN or an infinity */
function requireFinite(state: StateDict, file: string): void {
  for (const [name, tensor] of state) {
    const found = floatsOf(tensor).find(value => !Number.isFinite(value))
    if (found === undefined) continue
    throw new FormatError(
      `${file}: ${name} holds ${found}, wanted finite values; fetch the file again`,
      { path: file, tensor: name, found },
    )
  }
}

async function digestOf(file: string): Promise<string> {
  const hash = createHash('sha256')
  await pipeline(createReadStream(file), hash)
  return hash.digest('hex')
}

const filesOf = ({ files }: PublishedWeights): string =>
  `${files.map(({ name }) => name).join(' or ')} (${files[0].from})`

const listOf = (into: Into): string =>
  PUBLISHED_WEIGHTS.filter(published => published.into === into)
    .map(published => `${published.name}: ${filesOf(published)}`)
    .join('; ')

/** How many names start with which part: `conv1 1, layer1 50`. */
function summaryOf(names: readonly string[]): string {
  const groups = (parts: number) => {
    const counts = new Map<string, number>()
    for (const name of names) {
      const group = name.split('.').slice(0, parts).join('.')
      counts.set(group, (counts.get(group) ?? 0) + 1)
    }
    return counts
  }
  const counts = groups(1).size > 1 ? groups(1) : groups(2)
  return [...counts].map(([group, count]) => `${group} ${count}`).join(', ')
}
