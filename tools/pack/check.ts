// Installs the packed extractor into an empty project and uses it on Node 20 and 24: npm run pack:check
import { execFile } from 'node:child_process'
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { existsSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { messageOf } from '@deepfever/core'
import { collectFfmpeg, findFfmpeg } from '@deepfever/media'
import { BACKBONES, STUDENT, exportModel, formulaWeights, studentNetwork } from '@deepfever/models'
import { repositoryRoot } from '../faults.ts'
import { packExtract } from './package.ts'

/** Node as npm packages carry it, by major version. */
const NODES = { 20: '20.20.2', 24: '24.21.0' } as const
const LABELS = ['neutral', 'happy', 'sad', 'surprise', 'fear', 'disgust', 'anger', 'contempt']
/** Of one command; all of them together take under a minute on a quiet machine of two cores. */
const LIMIT_MS = 110_000

const run = async (program: string, words: readonly string[], cwd: string): Promise<string> => {
  const { stdout } = await promisify(execFile)(program, words, { cwd, timeout: LIMIT_MS })
  return stdout
}

/** The path of a Node of this major version: the running one, or fetched into `.artifacts`. */
async function nodeOf(major: keyof typeof NODES): Promise<string> {
  if (process.versions.node.startsWith(`${major}.`)) return process.execPath
  const { platform, arch } = process
  const name = `node-${platform === 'win32' ? 'win' : platform}-${arch}`
  const folder = join(repositoryRoot, '.artifacts/nodes', NODES[major])
  const path = join(folder, 'node_modules', name, 'bin/node')
  if (existsSync(path)) return path
  await mkdir(folder, { recursive: true })
  const words = ['install', '--prefix', folder, '--no-save', '--no-audit', '--no-fund']
  await run('npm', [...words, '--ignore-scripts', `${name}@${NODES[major]}`], folder)
  return path
}

/** What the README's example names, and the package, in a project of its own. */
async function prepare(project: string): Promise<void> {
  const network = studentNetwork({ ...STUDENT, backbone: BACKBONES.mobilenetV2, size: 64 })
  const state = formulaWeights(network, 'package.')
  const { onnx, contract } = exportModel(network, state, { labels: LABELS, licence: [] })
  await writeFile(join(project, 'student.onnx'), onnx)
  await writeFile(join(project, 'contract.json'), JSON.stringify(contract))
  const photos = join(repositoryRoot, 'datasets/demo/photos')
  await cp(join(photos, 'grace-hopper.jpg'), join(project, 'photo.jpg'))
  await cp(join(photos, 'astronaut.png'), join(project, 'other.png'))
  const clip = join(project, 'clip.mp4')
  const still = ['-loop', '1', '-t', '1', '-i', `file:${join(project, 'photo.jpg')}`]
  const form = ['-vf', 'scale=480:-2', '-r', '10', '-y', `file:${clip}`]
  await collectFfmpeg([...still, ...form], { ffmpeg: await findFfmpeg(), name: clip })
  const json = { name: 'empty', private: true, type: 'module' }
  await writeFile(join(project, 'package.json'), JSON.stringify(json))
  const tarball = await packExtract(project)
  const quiet = ['--no-audit', '--no-fund', '--prefer-offline']
  await run('npm', ['install', '--ignore-scripts', ...quiet, tarball], project)
  if (existsSync(join(project, 'node_modules/@tensorflow')))
    throw new Error('TensorFlow.js came with it')
}

/** The package's own program, typed strictly; its types are checked too. */
async function checkTypes(project: string): Promise<void> {
  await writeFile(
    join(project, 'consumer.ts'),
    `import { openExtractor, type Extracted, type ExtractedFace } from '@deepfever/extract'
const extractor = await openExtractor({ model: 'student.onnx', workers: 1 })
const faces: readonly ExtractedFace[] = await extractor.extract(new Uint8Array())
const widths: number[] = faces.map(({ embedding, expression }) => embedding.length + (expression?.length ?? 0))
for await (const frame of extractor.extractClip('clip.mp4', { fps: 5 })) frame satisfies Extracted
// @ts-expect-error a model is needed
void openExtractor({})
// @ts-expect-error not every model has one
void faces[0]?.fec.length
export default widths
`,
  )
  const modules = join(repositoryRoot, 'node_modules')
  const strict = ['--noEmit', '--strict', '--exactOptionalPropertyTypes', '--target', 'es2022']
  const where = ['--module', 'nodenext', '--moduleResolution', 'nodenext', '--types', 'node']
  const types = ['--typeRoots', join(modules, '@types')]
  const words = [join(modules, 'typescript/bin/tsc'), ...strict, ...where, ...types, 'consumer.ts']
  await run(process.execPath, words, project)
}

/** Every number of a photograph, of its bytes and of a clip, as one digest and a count. */
const NUMBERS = `import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
const extractor = await openExtractor({ model: 'student.onnx', workers: 2 })
const hash = createHash('sha256')
let count = 0
const add = faces => {
  for (const { box, landmarks, crop, embedding, expression, fec, quality, probability } of faces) {
    count++
    for (const values of [box, landmarks, crop, embedding, expression, fec])
      hash.update(Buffer.from(values.buffer, values.byteOffset, values.byteLength))
    hash.update(JSON.stringify([probability, quality]))
  }
}
add(await extractor.extract('photo.jpg'))
add(await extractor.extract(readFileSync('other.png')))
const files = Array.from({ length: 40 }, (_, i) => ['photo.jpg', 'other.png'][i % 2])
const pictures = files.map(file => ({ source: file, ptsUs: undefined, file }))
for await (const { faces } of extractor.extractAll(pictures)) add(faces)
for await (const { faces } of extractor.extractClip('clip.mp4', { fps: 4 })) add(faces)
await extractor.close()
console.log(count, hash.digest('hex'))
`

function fail(what: string, found: string, wanted: string): never {
  throw new Error(`${what}: found ${found}, wanted ${wanted}`)
}

async function check(project: string): Promise<void> {
  await prepare(project)
  await checkTypes(project)
  const readme = await readFile(join(project, 'node_modules/@deepfever/extract/README.md'), 'utf8')
  const [, example] = /```js\n(.*?)```/s.exec(readme) ?? fail('README.md', 'no example', 'one')
  await writeFile(join(project, 'example.js'), example!)
  const importing = (from: string) => `import { openExtractor } from '${from}'\n${NUMBERS}`
  await writeFile(join(project, 'numbers.js'), importing('@deepfever/extract'))
  const source = join(repositoryRoot, 'packages/extract/src/index.ts')
  await writeFile(join(project, 'workspace.mjs'), importing(source))
  const tsx = ['--import', import.meta.resolve('tsx')]
  const words = ['photo.jpg', 'clip.mp4', '--model=student.onnx', '--fps=2']
  const cli = join(repositoryRoot, 'packages/cli/bin/deepfever.mjs')
  const bin = join(project, 'node_modules/.bin/deepfever-extract')
  const forms = { 20: 'parquet', 24: 'csv' } as const
  for (const major of [20, 24] as const) {
    const node = await nodeOf(major)
    const version = (await run(node, ['--version'], project)).trim()
    const said = await run(node, ['example.js'], project)
    if (!/^face at .*neutral 0\.\d{3}.*^other\.png: 1 faces.*^0\.5 s: 1 faces/ms.test(said))
      fail(`example on Node ${version}`, said, 'a face in the photograph and in the clip')
    const found = await run(node, ['numbers.js'], project)
    // Of the same Node: sharp and onnxruntime are the same files, not so the functions of Math.
    const wanted = await run(node, [...tsx, 'workspace.mjs'], project)
    if (found !== wanted) fail(`numbers on Node ${version}`, found, wanted)
    const form = forms[major]
    await run(node, [bin, ...words, `--out=packed.${form}`], project)
    await run(node, [cli, 'extract', ...words, `--out=here.${form}`], project)
    const [a, b] = await Promise.all(
      ['packed', 'here'].map(name => readFile(join(project, `${name}.${form}`))),
    )
    if (!a!.equals(b!)) fail(`${form} on Node ${version}`, 'other bytes', "the workspace's")
    console.log(
      `package: Node ${version}: example, numbers of ${found.split(' ')[0]} faces, command`,
    )
  }
}

const project = await mkdtemp(join(tmpdir(), 'deepfever-project-'))
try {
  await check(project)
} catch (thrown) {
  const { stderr = '', killed } = thrown as { readonly stderr?: string; readonly killed?: boolean }
  const late = killed ? `not done in ${LIMIT_MS / 1000} s: ` : ''
  console.error(`package: ${late}${messageOf(thrown)}\n${stderr}`)
  process.exitCode = 1
} finally {
  await rm(project, { recursive: true })
}
