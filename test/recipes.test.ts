// tap: test/recipes.test.ts covers the recipes of CONTRIBUTING.md: each is followed in a copy
import { execFile } from 'node:child_process'
import { cp, mkdir, readFile, readdir, symlink, writeFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import { repositoryRoot as root } from '../tools/faults.ts'
import { layerFaults } from '../tools/check-layers.ts'
import { targetFaults } from '../tools/check-targets.ts'

/** A line that goes behind the first place where `after` stands. */
type Insertion = readonly [path: string, after: string, text: string]

/** What following a recipe changes: new files beside the models that it names, and insertions. */
interface Followed {
  readonly title: string
  /** path by the file that the recipe names as a model for it */
  readonly files: Readonly<Record<string, readonly [path: string, text: string]>>
  readonly insertions: readonly Insertion[]
}

const stage: Followed = {
  title: 'A stage',
  files: {
    'packages/ingest/src/videos.ts': [
      'packages/ingest/src/names.ts',
      `import { readdir } from 'node:fs/promises'
import { commonOptions, defineStage, flag, path } from '@deepfever/core'
import { clips, sha256, unstatedTerms, writeArtifact } from '@deepfever/formats'

/** The names of a folder's files. */
export const names = defineStage({
  name: 'ingest names',
  summary: 'the names of a folder',
  behaviour: 1,
  words: ['source'],
  options: {
    ...commonOptions,
    source: path('folder; or the first word'),
    out: path('where the names go'),
    reversed: flag({ help: 'last name first' }),
  },
  async run({ source, out, reversed, force }, { log, work, checkpoint }) {
    const found = (await readdir(source)).sort()
    const digest = sha256(found.join())
    const inputs = [{ role: 'folder', digest, terms: [unstatedTerms] }]
    return writeArtifact({ ...work, kind: 'names', inputs, out, force }, log, async write => {
      for (const name of reversed ? found.reverse() : found) {
        checkpoint()
        if (write.isDone(name)) continue
        const file = { clipName: name, sizeBytes: 0 }
        if (name.startsWith('.')) write.reject('hidden', name)
        else {
          write.describe({ [name]: Object.keys(clips.columns).length, ...file })
          write.accept()
        }
        await write.done(name)
      }
    })
  },
})
`,
    ],
  },
  insertions: [
    [
      'packages/ingest/src/index.ts',
      "import { merge } from './merge.ts'\n",
      "import { names } from './names.ts'\n",
    ],
    ['packages/ingest/src/index.ts', 'stages = [', 'names, '],
    [
      'packages/ingest/package.json',
      '"targets": {',
      `"names": { "command": "node packages/cli/bin/deepfever.mjs ingest names", "cache": true,
        "inputs": ["source", "^source"], "outputs": ["{options.out}"],
        "options": { "source": "docs", "out": ".artifacts/default/names" },
        "configurations": { "smoke": { "out": ".artifacts/smoke/names" } } },`,
    ],
  ],
}

const dataSet: Followed = {
  title: 'A data set',
  files: {
    'datasets/cards/': [
      'datasets/cards/toy.json',
      JSON.stringify({
        ...{ name: 'toy', title: 'Toy', classes: ['calm', 'wild'], layout: ['calm/<name>.png'] },
        ...{ citation: 'none', licence: 'public domain', ask: 'nobody' },
        ...{ counts: { train: [1, 0], test: [0, 1] }, countsOf: 'two pictures' },
      }),
    ],
    'datasets/src/rafdb.ts': [
      'datasets/src/toy.ts',
      `import type { Reading } from './labelled.ts'
import type { Source } from './source.ts'

/** Pictures in the folders calm and wild; the first trains. */
export async function* readToy({ files }: Source): AsyncGenerator<Reading> {
  for (const { path } of files) {
    const label = ['calm', 'wild'].indexOf(path.split('/')[0]!)
    const id = \`toy:\${path}\`
    if (label < 0) yield { reject: { id, code: 'bad_annotation' } }
    else yield { picture: { id, path, label, split: label === 0 ? 'train' : 'test' } }
  }
}
`,
    ],
    'datasets/src/demo/rafdb-set.ts': [
      'datasets/src/demo/toy-set.ts',
      `import type { DemoFile } from './demo-file.ts'

/** One empty picture. */
export function* drawToy(): Generator<DemoFile> {
  yield { path: 'toy/calm/a.png', bytes: new Uint8Array(0) }
}
`,
    ],
  },
  insertions: [
    ['datasets/src/index.ts', "export * from './rafdb.ts'\n", "export * from './toy.ts'\n"],
    ['datasets/src/source.ts', "corpora = ['videos', ", "'toy', "],
    ['datasets/src/card.ts', 'carded = [', "'toy', "],
    [
      'datasets/src/demo/demo.ts',
      "import { drawRafDb } from './rafdb-set.ts'\n",
      "import { drawToy } from './toy-set.ts'\n",
    ],
    ['datasets/src/demo/demo.ts', '  yield* drawClips(ffmpeg)\n', '  yield* drawToy()\n'],
    ['packages/detect/src/labelled-stages.ts', '  readRafDb,\n', '  readToy,\n'],
    [
      'packages/detect/src/labelled-stages.ts',
      'const noTriplets = { triplets: [], rejects: [] }\n',
      `
/** The toy. */
export const toyStage = labelledStage('toy', 'faces of the toy', 'toy', {}, async source => ({
  ...noTriplets,
  readings: readToy(source),
  classes: (await readCard('toy')).classes,
  finding: 'dropped',
}))
`,
    ],
    ['packages/detect/src/index.ts', 'rafStage', ', toyStage'],
    ['packages/detect/src/index.ts', 'stages = [', 'toyStage, '],
    [
      'packages/detect/package.json',
      '"targets": {',
      `"toy": { "command": "node packages/cli/bin/deepfever.mjs detect toy", "cache": true,
        "dependsOn": ["datasets:index"], "inputs": ["source", "^source"],
        "outputs": ["{options.out}/manifest.json", "{options.cached}"],
        "options": { "index": ".artifacts/default/index", "out": ".artifacts/default/toy" },
        "configurations": { "smoke": { "index": ".artifacts/smoke/index",
          "out": ".artifacts/smoke/toy", "cached": ".artifacts/smoke/toy" } } },`,
    ],
  ],
}

const loss: Followed = {
  title: 'A loss',
  files: {
    'packages/losses/src/rkd-distance.ts': [
      'packages/losses/src/toy-gap.ts',
      `import { tf } from '@deepfever/runtime'
import { requireTargets } from './loss.ts'
import type { Loss, LossOptions } from './loss.ts'

/** Mean absolute gap. */
export const toyGap = (student: tf.Tensor2D, teacher: tf.Tensor2D): tf.Scalar =>
  tf.mean(tf.abs(tf.sub(student, teacher)))

/** The same between output and targets. */
export const toyGapLoss = ({ head, weight }: LossOptions): Loss => ({
  name: 'toy-gap',
  head,
  weight,
  value: (output, batch) => toyGap(output, requireTargets('toy-gap', output, batch)),
})
`,
    ],
  },
  insertions: [
    [
      'packages/losses/src/index.ts',
      "export * from './rkd-distance.ts'\n",
      "export * from './toy-gap.ts'\n",
    ],
    [
      'packages/train/src/experiment.ts',
      '    readonly rkdAngle: number\n',
      '    readonly toyGap: number\n',
    ],
    ['packages/train/src/loss-sum.ts', '  rkdDistanceLoss,\n', '  toyGapLoss,\n'],
    [
      'packages/train/src/loss-sum.ts',
      "    case 'relational':\n      return [\n",
      "        toyGapLoss({ head: 'distill', weight: losses.toyGap }),\n",
    ],
    ['packages/train/configs/student.ts', 'losses: { triplet: 1, ', 'toyGap: 0, '],
    ['packages/train/configs/teacher256.ts', 'losses: { triplet: 1, ', 'toyGap: 0, '],
  ],
}

const backbone: Followed = {
  title: 'A backbone',
  files: {
    'packages/models/src/mobile-net-v2.ts': [
      'packages/models/src/toy-net.ts',
      `import type { Ops } from './ops.ts'

/** The toy's one knob. */
export interface ToyNet {
  readonly channels: number
}

/** One convolution. */
export const toyNet = <T>(ops: Ops<T>, name: string, image: T, { channels }: ToyNet): T =>
  ops.relu(ops.conv2d(\`\${name}.toy\`, image, { out: channels, kernel: 3, stride: 2 }))
`,
    ],
  },
  insertions: [
    [
      'packages/models/src/backbone.ts',
      "import type { ResNet } from './res-net.ts'\n",
      "import { toyNet } from './toy-net.ts'\nimport type { ToyNet } from './toy-net.ts'\n",
    ],
    [
      'packages/models/src/backbone.ts',
      'export type Backbone =\n',
      "  | ({ readonly kind: 'toy' } & ToyNet)\n",
    ],
    [
      'packages/models/src/backbone.ts',
      'backbone: Backbone): T {\n',
      "  if (backbone.kind === 'toy') return toyNet(ops, name, image, backbone)\n",
    ],
    [
      'packages/models/src/backbone.ts',
      'BACKBONES = {\n',
      "  toy: { kind: 'toy', channels: 8 },\n",
    ],
    [
      'packages/models/src/import.ts',
      "part: 'trunk', rename: key => key },\n",
      "  toy: { name: 'toy', part: 'backbone', rename: key => key },\n",
    ],
    [
      'packages/models/src/published-weights.ts',
      'readonly PublishedWeights[] = [\n',
      `  {
    name: 'toy',
    into: 'student',
    source: WEIGHT_SOURCES.toy,
    left: [],
    files: imageNet('toy.pth'),
    network: student('toy'),
  },
`,
    ],
  ],
}

const RUN = `import assert from 'node:assert/strict'
import { openBackend, tf } from '@deepfever/runtime'
import { toyGap } from '@deepfever/losses'
import { BACKBONES, STUDENT, describeNetwork, studentNetwork } from '@deepfever/models'
import student from './packages/train/configs/student.ts'
import { withOverlay } from './packages/train/src/experiment.ts'
import { lossesOf } from './packages/train/src/loss-sum.ts'

await openBackend({ prefer: 'portable' })
const gap = toyGap(tf.tensor2d([[1, 2]]), tf.tensor2d([[1, 5]]))
assert.equal(gap.dataSync()[0], 1.5)
const experiment = withOverlay(student.experiment, { losses: { toyGap: 3 } })
const found = lossesOf(experiment, [80]).find(({ name }) => name === 'toy-gap')
assert.deepEqual([found?.weight, found?.head], [3, 'distill'])
const toy = studentNetwork({ ...STUDENT, backbone: BACKBONES.toy })
const { parameters } = describeNetwork(toy)
assert.ok(parameters.some(({ name }) => name.includes('toy.weight')))
console.log('loss and backbone run')
`

const recipes = [stage, dataSet, loss, backbone]

/** The text of each recipe of CONTRIBUTING.md by its title. */
async function readRecipes(): Promise<ReadonlyMap<string, string>> {
  const page = await readFile(join(root, 'CONTRIBUTING.md'), 'utf8')
  const parts = page.slice(page.indexOf('## Recipes')).split(/^### /m).slice(1)
  return new Map(parts.map(part => [part.slice(0, part.indexOf('\n')), part] as const))
}

/** The sources, with the packages of the copy before the installed ones. */
async function copySources(dir: string): Promise<void> {
  const isSource = (path: string) =>
    !/^(node_modules|test|raw|\.artifacts|\.tap)$/.test(basename(path))
  for (const name of [
    'packages',
    'datasets',
    'tools',
    'docs',
    'package.json',
    'tsconfig.base.json',
  ])
    await cp(join(root, name), join(dir, name), { recursive: true, filter: isSource })
  const modules = join(dir, 'node_modules')
  await mkdir(join(modules, '@deepfever'), { recursive: true })
  for (const name of await readdir(join(root, 'node_modules')))
    if (name !== '@deepfever') await symlink(join(root, 'node_modules', name), join(modules, name))
  for (const name of await readdir(join(root, 'node_modules/@deepfever'))) {
    const folder = name === 'datasets' ? name : `packages/${name}`
    await symlink(join(dir, folder), join(modules, '@deepfever', name))
  }
}

t.test('each recipe, followed to the letter, compiles and runs', async t => {
  const dir = t.testdir({ pictures: { calm: {}, wild: {}, other: {} } })
  await copySources(dir)
  const pages = await readRecipes()
  for (const { title, files, insertions } of recipes) {
    const page = pages.get(title) ?? ''
    for (const [model, [path, text]] of Object.entries(files)) {
      t.ok(page.includes(model), `${title}: names ${model}`)
      await writeFile(join(dir, path), text)
    }
    for (const [path, after, text] of insertions) {
      const folder = path.replace(/[^/]+$/, '').replace(/\/$/, '')
      const room = /^packages\/([^/]+)\/(src\/index\.ts|package\.json)$/.exec(path)
      const named = page.includes(path) || page.includes(folder) || (title === 'A stage' && room)
      t.ok(named, `${title}: names ${path}`)
      const before = await readFile(join(dir, path), 'utf8')
      const at = before.indexOf(after)
      if (at < 0) throw new Error(`${title}: ${path} has no ${after}`)
      const end = at + after.length
      await writeFile(join(dir, path), before.slice(0, end) + text + before.slice(end))
    }
  }
  t.same(targetFaults(dir), [], 'the new Nx targets fit')
  t.same(layerFaults(dir), [], 'the new imports are allowed')

  const compilerOptions = { noUnusedLocals: true }
  const touched = ['media', 'ingest', 'detect', 'train', 'models', 'losses']
  const include = [...touched.map(name => `packages/${name}/src`), 'datasets/src', 'run.ts']
  const exclude = ['packages/web']
  const project = { extends: './tsconfig.base.json', compilerOptions, include, exclude }
  await writeFile(join(dir, 'tsconfig.json'), JSON.stringify(project))
  await writeFile(join(dir, 'run.ts'), RUN)
  const photo = join(root, 'datasets/demo/photos/astronaut.png')
  for (const name of ['calm', 'wild', 'other']) await cp(photo, join(dir, `pictures/${name}/a.png`))

  const node = (...words: string[]) =>
    promisify(execFile)(process.execPath, words, { cwd: dir }).catch((thrown: unknown) => {
      const { stdout, stderr } = thrown as { stdout: string; stderr: string }
      throw new Error(`${words.join(' ')}:\n${stdout}${stderr.slice(-2000)}`)
    })
  const deepfever = (...words: string[]) => node('packages/cli/bin/deepfever.mjs', ...words)
  const [, ran, names, faces] = await Promise.all([
    node(join(root, 'node_modules/typescript/bin/tsc'), '-p', dir),
    node('--import', 'tsx', 'run.ts'),
    deepfever('ingest', 'names', 'pictures', '--out=names'),
    deepfever('detect', 'toy', '--source=pictures', '--out=faces'),
  ])
  t.match(ran.stdout, 'loss and backbone run')
  t.match(names.stderr, /"outputs":3/)
  t.match(faces.stderr, /"outputs":2.*"bad_annotation":1/)
  t.match((await deepfever('ingest', 'names', 'pictures', '--out=names')).stderr, /up to date/)
})
