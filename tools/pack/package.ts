import { execFile } from 'node:child_process'
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { repositoryRoot } from '../faults.ts'
import { readWorkspaces, type PackageJson } from '../workspaces.ts'
import { bundle } from './bundle.ts'
import { rollDeclarations } from './declarations.ts'

const source = join(repositoryRoot, 'packages/extract')
const door = join(source, 'published')

interface Published extends PackageJson {
  readonly description: string
  readonly license: string
}

/** package.json of the tarball; what is imported has the versions that the workspaces name. */
async function describe(imported: ReadonlySet<string>): Promise<object> {
  const own = JSON.parse(await readFile(join(source, 'package.json'), 'utf8')) as Published
  const root = JSON.parse(
    await readFile(join(repositoryRoot, 'package.json'), 'utf8'),
  ) as PackageJson & { readonly engines: unknown }
  const known = readWorkspaces(repositoryRoot)
  const versions = Object.assign({}, ...known.map(({ json }) => json.dependencies)) as Readonly<
    Record<string, string>
  >
  const dependencies = [...imported].sort().map(name => {
    const version = versions[name]
    if (version === undefined) throw new Error(`no workspace depends on ${name}, which is imported`)
    return [name, version] as const
  })
  const notices = await readFile(join(door, 'THIRD-PARTY.md'), 'utf8')
  const unnamed = [...imported].find(name => !notices.includes(name))
  if (unnamed !== undefined) throw new Error(`THIRD-PARTY.md does not name ${unnamed}`)
  const media = known.find(({ room }) => room === 'media')!.json
  return {
    name: own.name,
    version: own.version,
    description: own.description,
    keywords: ['facial expression', 'face', 'features', 'embedding', 'onnx'],
    license: own.license,
    type: 'module',
    engines: root.engines,
    exports: {
      '.': { types: './dist/index.d.ts', default: './dist/index.js' },
      './package.json': './package.json',
    },
    bin: { 'deepfever-extract': './dist/command.js' },
    files: ['dist', 'contracts', 'THIRD-PARTY.md'],
    dependencies: Object.fromEntries(dependencies),
    optionalDependencies: media.optionalDependencies,
  }
}

/**
 * Writes `@deepfever/extract` as npm installs it: JavaScript, declarations, the detector's weights.
 *
 * @param out folder for the tarball
 * @returns path of the tarball
 */
export async function packExtract(out: string): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'deepfever-pack-'))
  try {
    const dist = join(folder, 'dist')
    const entries = { index: join(door, 'index.ts'), command: join(door, 'command.ts') }
    const description = await describe(await bundle(entries, dist))
    await writeFile(join(dist, 'index.d.ts'), rollDeclarations(entries.index))
    await writeFile(join(folder, 'package.json'), `${JSON.stringify(description, null, 2)}\n`)
    for (const name of ['README.md', 'THIRD-PARTY.md'])
      await cp(join(door, name), join(folder, name))
    await cp(join(source, 'contracts'), join(folder, 'contracts'), { recursive: true })
    await cp(join(repositoryRoot, 'LICENSE'), join(folder, 'LICENSE'))
    await mkdir(out, { recursive: true })
    const words = ['pack', '--json', '--pack-destination', resolve(out)]
    const { stdout } = await promisify(execFile)('npm', words, { cwd: folder })
    return join(out, fileNameOf(stdout))
  } finally {
    await rm(folder, { recursive: true })
  }
}

/** npm's report is a list, or since npm 11 may be an object by package name. */
function fileNameOf(report: string): string {
  const [packed] = Object.values(JSON.parse(report) as Record<string, { filename: string }>)
  return packed!.filename
}
