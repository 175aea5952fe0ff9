// tap: test/repo.test.ts covers no source file: it holds the repository as a whole
import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync, statSync } from 'node:fs'
import { basename, join } from 'node:path'
import t from 'tap'
import { repositoryRoot as root } from '../tools/faults.ts'
import { readWorkspaces, type PackageJson } from '../tools/workspaces.ts'

const read = (path: string): string => readFileSync(join(root, path), 'utf8')

/** Files that git tracks or would track. */
function listFiles(): string[] {
  const words = ['ls-files', '-z', '--cached', '--others', '--exclude-standard']
  const names = execFileSync('git', words, { cwd: root, encoding: 'utf8' }).split('\0')
  return [...new Set(names)].filter(name => name !== '' && existsSync(join(root, name)))
}

interface Locked {
  readonly version?: string
  readonly link?: boolean
  readonly resolved?: string
  readonly optionalDependencies?: Record<string, string>
}
const lock = (JSON.parse(read('package-lock.json')) as { packages: Record<string, Locked> })
  .packages
const rootJson = JSON.parse(read('package.json')) as PackageJson & {
  scripts: Record<string, string>
}
const workspaces = readWorkspaces(root)
const files = existsSync(join(root, '.git')) ? listFiles() : []
const sources = files.filter(path => /\.(ts|mts|mjs|js)$/.test(path))

t.test('every optional dependency in the lock file has an entry', async t => {
  const locked = new Set(Object.keys(lock).map(path => path.replace(/^.*node_modules\//, '')))
  const missing = Object.values(lock)
    .flatMap(({ optionalDependencies = {} }) => Object.keys(optionalDependencies))
    .filter(name => !locked.has(name))
  t.strictSame(missing, [], 'add them with: node tools/complete-lock.mjs')
})

t.test('the lock file names no registry', async t => {
  const named = Object.entries(lock).filter(([, { link, resolved }]) => !link && resolved)
  t.strictSame(
    named.map(([path]) => path),
    [],
    'an address ties every clone to one registry; remove `resolved`',
  )
})

t.test('every dependency has one exact version', async t => {
  const all = [{ folder: '.', json: rootJson }, ...workspaces]
  const loose = all.flatMap(({ folder, json }) =>
    Object.entries({
      ...json.dependencies,
      ...json.optionalDependencies,
      ...json.devDependencies,
      ...json.peerDependencies,
    })
      .filter(([, version]) => !/^(npm:.+@)?\d+\.\d+\.\d+(-[\w.]+)?$/.test(version))
      .map(([name, version]) => `${folder}: ${name} ${version}`),
  )
  t.strictSame(loose, [])
})

t.test('nothing relies on npm hooks, which ignore-scripts turns off', async t => {
  t.match(read('.npmrc'), /^ignore-scripts=true$/m)
  const hooks = Object.keys(rootJson.scripts).filter(name => /^(pre|post)/.test(name))
  t.strictSame(hooks, [])
})

t.test('every package has a README and one version', async t => {
  const without = workspaces.filter(({ folder }) => !existsSync(join(root, folder, 'README.md')))
  t.strictSame(
    without.map(({ folder }) => folder),
    [],
  )
  t.strictSame(
    workspaces.filter(({ json }) => json.version !== rootJson.version).map(({ folder }) => folder),
    [],
    `version ${rootJson.version ?? ''}`,
  )
})

t.test('source files are nouns in kebab-case, at most 400 lines', async t => {
  const names = /^[a-z0-9]+(-[a-z0-9]+)*(\.test|\.config|\.d)?\.(ts|mts|mjs|js)$/
  const vague = /^(utils?|common|helpers?|misc|types|constants|shared)\./
  t.strictSame(
    sources.filter(path => !names.test(basename(path)) || vague.test(basename(path))),
    [],
    'names',
  )
  t.strictSame(
    sources.filter(path => read(path).trimEnd().split('\n').length > 400),
    [],
    'lines',
  )
})

t.test('no file is larger than 3 MB, and none names a place on a machine', async t => {
  t.strictSame(
    files.filter(path => statSync(join(root, path)).size > 3 * 2 ** 20),
    [],
    'sizes',
  )
  // Put together here, so that this file does not find itself.
  const place = new RegExp(`(?<![\\w.}])/(${['work', 'root', 'home', 'Users'].join('|')})/`)
  const texts = files.filter(path => /\.(ts|mjs|js|json|md|yaml|yml)$|^\.ci\//.test(path))
  t.strictSame(
    texts.filter(path => place.test(read(path))),
    [],
    'places',
  )
})
