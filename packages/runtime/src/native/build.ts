import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { mkdir, readdir, rename, rm, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { basename, dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'

import { StageError, UsageError, type Context } from '@deepfever/core'

import { STAMP, addonPath, buildFolder, readStamp, type NativeStamp } from './place.ts'
import { TENSORFLOW, toRequirements, wheels, type Device } from './wheels.ts'

const require = createRequire(import.meta.url)

/** Raised when the same wheels would be built in another way. */
const RECIPE = 1

interface BuildOptions {
  readonly device: Device
  /** a folder with TensorFlow's C library and headers, instead of a download */
  readonly libtensorflow: string
  readonly force: boolean
}

/**
 * Puts a current TensorFlow under TensorFlow.js: fetches the pinned wheels, compiles the addon
 * and runs a self-test. A finished build is kept as long as what it was made from is unchanged.
 *
 * @throws StageError when a tool is missing or a step fails
 */
export async function buildNative(
  { device, libtensorflow, force }: BuildOptions,
  { log, signal }: Context,
): Promise<NativeStamp> {
  const key = keyOf(device, libtensorflow)
  const folder = buildFolder(device)
  const made = readStamp(device)
  if (!force && made?.key === key) {
    log.event('up to date', { native: folder, tensorflow: made.tensorflow })
    return made
  }
  requirePlatform(libtensorflow)
  const run = (program: string, words: readonly string[]) => runTool(program, words, signal)
  const python = libtensorflow ? '' : await findPython(run)
  await requireTool(run, 'g++', 'install a C++ compiler, on Debian: apt-get install g++')
  const work = `${folder}.work`
  await rm(work, { recursive: true, force: true })
  await mkdir(work, { recursive: true })
  if (libtensorflow === '') {
    log.event('fetching', { wheels: wheels[device].map(w => `${w.name} ${w.version}`).join(', ') })
    await fetchWheels(run, python, device, work)
  }
  const root = libtensorflow ? resolve(libtensorflow) : work
  const addon = addonPath(device)
  log.event('compiling', { addon })
  await run('g++', await compilerWords(root, join(work, basename(addon)), libtensorflow !== ''))
  await rm(folder, { recursive: true, force: true })
  await rename(work, folder)
  const tensorflow = await selfTest(run, addon, device)
  const stamp: NativeStamp = { key, device, tensorflow }
  // Written last: a build that was cut off, or that failed its test, is made again.
  await writeFile(join(folder, STAMP), `${JSON.stringify(stamp, undefined, 2)}\n`)
  log.event('built', { native: folder, device, tensorflow })
  return stamp
}

type Run = (program: string, words: readonly string[]) => Promise<string>

/** Everything that the build depends on. */
function keyOf(device: Device, libtensorflow: string): string {
  const { version } = require('@tensorflow/tfjs-node-gpu/package.json') as { version: string }
  const from = libtensorflow ? resolve(libtensorflow) : toRequirements(wheels[device])
  const parts = [RECIPE, device, version, process.arch, from]
  return createHash('sha256').update(JSON.stringify(parts)).digest('hex')
}

function requirePlatform(libtensorflow: string): void {
  if (libtensorflow || (process.platform === 'linux' && process.arch === 'x64')) return
  throw new StageError(
    `native backend: found ${process.platform} ${process.arch}, the pinned wheels are for linux x64; give a library of your own with --libtensorflow=DIR, or train on the portable backend`,
    { found: `${process.platform} ${process.arch}`, wanted: 'linux x64' },
  )
}

async function requireTool(run: Run, program: string, remedy: string): Promise<void> {
  try {
    await run(program, ['--version'])
  } catch (cause) {
    throw new StageError(
      `native backend: ${program} is missing; ${remedy}`,
      { missing: program },
      cause,
    )
  }
}

async function findPython(run: Run): Promise<string> {
  const remedy = 'on Debian: apt-get install python3 python3-pip'
  await requireTool(run, 'python3', `install Python 3 with pip, ${remedy}`)
  try {
    await run('python3', ['-m', 'pip', '--version'])
  } catch (cause) {
    throw new StageError(`native backend: python3 has no pip; ${remedy}`, { missing: 'pip' }, cause)
  }
  return 'python3'
}

// Any cp3xx wheel will do: only its C libraries are used. One is named, so that one hash is enough.
const PLATFORM = ['--python-version=3.11', '--implementation=cp', '--abi=cp311', '--abi=none']
const TAGS = ['_2_27', '_2_25', '_2_18', '_2_17', '_2_12', '2014', '2010'].map(
  tag => `--platform=manylinux${tag}_x86_64`,
)

// Keeps TensorFlow's layout: its libraries look for CUDA's at ../nvidia/*/lib.
const EXTRACT = `
import os, shutil, sys, zipfile
from pathlib import Path
wheels, root = Path(sys.argv[1]), Path(sys.argv[2])
headers = tuple('tensorflow/include/' + p for p in
                ('tensorflow/c/', 'tensorflow/core/platform/ctstring', 'tsl/platform/ctstring', 'xla/tsl/c/'))
for wheel in wheels.glob('*.whl'):
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            library = name in ('tensorflow/libtensorflow_cc.so.2', 'tensorflow/libtensorflow_framework.so.2')
            cuda = name.startswith('nvidia/') and ('/lib/' in name or '/bin/' in name or '/nvvm/' in name)
            if library or cuda or (name.startswith(headers) and name.endswith('.h')):
                target = root / name
                target.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(name) as source, open(target, 'wb') as sink:
                    shutil.copyfileobj(source, sink, 1 << 20)
                if '/bin/' in name: os.chmod(target, 0o755)
`

async function fetchWheels(run: Run, python: string, device: Device, work: string): Promise<void> {
  const list = join(work, 'requirements.txt')
  const folder = join(work, 'wheels')
  await writeFile(list, toRequirements(wheels[device]))
  await run(python, [
    ...['-m', 'pip', 'download', '--no-deps', '--only-binary=:all:', '--require-hashes'],
    ...['--disable-pip-version-check', '--quiet', `--dest=${folder}`, `--requirement=${list}`],
    ...PLATFORM,
    ...TAGS,
  ])
  await run(python, ['-c', EXTRACT, folder, work])
  await rm(folder, { recursive: true })
}

/** The compiler's words: the addon of the installed package against the libraries under `root`. */
async function compilerWords(root: string, out: string, foreign: boolean): Promise<string[]> {
  const api = join(dirname(require.resolve('node-api-headers/package.json')), 'include')
  const pkg = dirname(require.resolve('@tensorflow/tfjs-node-gpu/package.json'))
  const [folder, libraries] = findLibraries(root)
  const include = ['include', 'tensorflow/include'].map(name => join(root, name)).find(existsSync)
  if (include === undefined)
    throw new StageError(`${root}: has no include folder with TensorFlow's C headers`, { root })
  const sources = (await readdir(join(pkg, 'binding'))).filter(name => name.endsWith('.cc')).sort()
  // A downloaded library moves with the addon; one that was given stays where it is.
  const runtimePath = foreign ? folder : '$ORIGIN/tensorflow'
  return [
    ...['-shared', '-fPIC', '-O2', '-std=c++17', '-DNAPI_VERSION=8'],
    ...['-I', api, '-I', pkg, '-I', include, '-o', out],
    ...sources.map(name => join(pkg, 'binding', name)),
    ...libraries.map(name => join(folder, name)),
    `-Wl,-rpath,${runtimePath}`,
  ]
}

function findLibraries(root: string): [folder: string, libraries: string[]] {
  for (const folder of [join(root, 'tensorflow'), join(root, 'lib'), root])
    for (const name of ['libtensorflow_cc.so.2', 'libtensorflow.so.2']) {
      const libraries = [name, 'libtensorflow_framework.so.2']
      if (libraries.every(library => existsSync(join(folder, library)))) return [folder, libraries]
    }
  throw new UsageError(
    `--libtensorflow: ${root} has no libtensorflow_cc.so.2 or libtensorflow.so.2 with libtensorflow_framework.so.2, neither there nor under lib`,
    { found: root },
  )
}

/** Multiplies two matrices in a process of its own; answers TensorFlow's version. */
async function selfTest(run: Run, addon: string, device: Device): Promise<string> {
  const script = fileURLToPath(new URL('./self-test.mjs', import.meta.url))
  const report = JSON.parse(
    (await run(process.execPath, [script, addon])).trim().split('\n').at(-1)!,
  ) as {
    tensorflow: string
    gpu: boolean
    error: number
  }
  const fail = (reason: string): never => {
    throw new StageError(`native backend: ${reason}`, { addon, ...report })
  }
  if (!(report.error < 1e-4)) fail(`a matrix product is ${report.error} off, wanted below 1e-4`)
  if (device === 'cuda' && !report.gpu)
    fail('the matrix product did not run on GPU:0; look at nvidia-smi, or build without --cuda')
  if (device === 'cpu' && report.tensorflow !== TENSORFLOW && !report.tensorflow.startsWith('2.'))
    fail(`found TensorFlow ${report.tensorflow}, wanted 2.x`)
  return report.tensorflow
}

/** Runs a tool to its end; answers its standard output. */
async function runTool(
  program: string,
  words: readonly string[],
  signal: AbortSignal,
): Promise<string> {
  const child = spawn(program, words, { stdio: ['ignore', 'pipe', 'pipe'], signal })
  let [out, errors] = ['', '']
  child.stdout.setEncoding('utf8').on('data', (text: string) => (out += text))
  child.stderr
    .setEncoding('utf8')
    .on('data', (text: string) => (errors = (errors + text).slice(-4000)))
  const [code] = (await once(child, 'close')) as [number | null]
  if (code === 0) return out
  throw new StageError(
    `${program} ended with status ${code ?? 'none'}: ${errors.trim() || out.trim().slice(-500)}`,
    { program, status: code },
  )
}
