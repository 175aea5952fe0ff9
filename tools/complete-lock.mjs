// Adds to package-lock.json the platform packages that the registry at hand lacks: npm 11 and 12
// refuse their own lock file without them. Run after every `npm install` that changes the lock:
//   node tools/complete-lock.mjs [FOLDER]
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

const systems = [
  'aix', 'android', 'darwin', 'freebsd', 'linux', 'netbsd', 'openbsd', 'openharmony', 'sunos', 'win32',
] // prettier-ignore
const processors = [
  'arm', 'arm64', 'ia32', 'loong64', 'mips64el', 'ppc64', 'riscv64', 's390x', 'wasm32', 'x64',
] // prettier-ignore

/** The C library a package's name asks for; only Linux has more than one. */
function libcOf(words) {
  if (words.some(word => word.startsWith('musl'))) return ['musl']
  return words.some(word => word.startsWith('gnu')) ? ['glibc'] : undefined
}

/** A lock entry without address or digest, its platform read from the package's name. */
function entryOf(name, version, parent) {
  const words = name.split(/[-/.]/)
  const os = systems.find(system => words.includes(system))
  const cpu = processors.find(processor => words.includes(processor))
  if (os === undefined || cpu === undefined) {
    throw new Error(
      `package-lock.json: ${name} ${version} is missing and names no platform; it cannot be left out: npm install`,
    )
  }
  const libc = os === 'linux' ? libcOf(words) : undefined
  return {
    version,
    cpu: [cpu],
    ...(parent.dev && { dev: true }),
    ...(libc && { libc }),
    optional: true,
    os: [os],
  }
}

/** True when a package at `path` would find `name` in the lock, in its own folder or above. */
function resolves(packages, path, name) {
  for (let folder = path; ;) {
    if (`${folder && folder + '/'}node_modules/${name}` in packages) return true
    if (folder === '') return false
    const parent = folder.lastIndexOf('/node_modules/')
    folder = parent === -1 ? '' : folder.slice(0, parent)
  }
}

const file = join(process.argv[2] ?? '.', 'package-lock.json')
const lock = JSON.parse(readFileSync(file, 'utf8'))
const { packages } = lock
const added = []
for (const [path, entry] of Object.entries(packages)) {
  for (const [name, version] of Object.entries(entry.optionalDependencies ?? {})) {
    if (resolves(packages, path, name)) continue
    packages[`node_modules/${name}`] = entryOf(name, version, entry)
    added.push(name)
  }
}
if (added.length > 0) {
  lock.packages = Object.fromEntries(Object.entries(packages).sort(([a], [b]) => (a < b ? -1 : 1)))
  writeFileSync(file, `${JSON.stringify(lock, null, 2)}\n`)
}
console.log(`package-lock.json: ${added.length} platform packages added`)
