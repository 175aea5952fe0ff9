// Makes node_modules what package-lock.json says, so that a fresh clone starts and tests itself.
// Runs before node_modules exists and, to say so, on a Node that is too old: built-ins by their
// old names and no syntax newer than 2019.
import { existsSync, readFileSync } from 'fs'
import { spawnSync } from 'child_process'
import { basename, join } from 'path'
import { fileURLToPath } from 'url'

const root = fileURLToPath(new URL('..', import.meta.url))

/** The parsed JSON file under the repository root; an empty object where there is none. */
function readJson(path) {
  try {
    return JSON.parse(readFileSync(join(root, path), 'utf8'))
  } catch (cause) {
    return {}
  }
}

/** What to tell someone whose Node is older than package.json's `engines`; empty if it is not. */
function complaint(found, engines) {
  const wanted = /(\d+)\.(\d+)/.exec((engines || {}).node || '')
  if (wanted === null) return ''
  const [major, minor] = found.split('.').map(Number)
  const old =
    major < Number(wanted[1]) || (major === Number(wanted[1]) && minor < Number(wanted[2]))
  if (!old) return ''
  return `Node ${found} is too old: this needs ${wanted[0]} or newer (22 or 24 will do); install one and run the command again`
}

/**
 * Paths of locked packages that node_modules lacks or has in another version. npm writes its own
 * record last, so a killed install counts as missing. Optional packages are left to npm: most are
 * for other platforms, and a registry may lack some.
 */
function missing() {
  const wanted = readJson('package-lock.json').packages || {}
  const found = readJson('node_modules/.package-lock.json').packages || {}
  return Object.keys(wanted).filter(path => {
    const entry = wanted[path]
    if (!path.startsWith('node_modules/') || entry.optional || entry.devOptional) return false
    const have = found[path]
    if (have === undefined || have.version !== entry.version) return true
    return !existsSync(join(root, path, 'package.json'))
  })
}

/** Runs `npm ci`, with the npm that started this process where there is one. */
function install() {
  // Without these, NODE_ENV=production or a user's `omit` leaves out what the tests need.
  const words = ['ci', '--include=dev', '--include=optional', '--no-audit', '--no-fund']
  const npm = process.env.npm_execpath || ''
  const options = { cwd: root, stdio: 'inherit' }
  if (basename(npm) === 'npm-cli.js')
    return spawnSync(process.execPath, [npm].concat(words), options)
  return spawnSync('npm', words, Object.assign({ shell: process.platform === 'win32' }, options))
}

/** Prints the reason and ends with status 1. */
function fail(reason) {
  console.error(`install: ${reason}`)
  process.exit(1)
}

const tooOld = complaint(process.versions.node, readJson('package.json').engines)
if (tooOld) fail(tooOld)
if (!existsSync(join(root, 'package-lock.json'))) {
  fail(
    'package-lock.json is missing or not beside package.json; restore it: git checkout package-lock.json',
  )
}

const before = missing()
if (before.length > 0) {
  console.error(`install: ${before.length} packages are missing or of another version: npm ci`)
  const { status, signal, error } = install()
  if (error) fail(`npm did not start (${error.message}); it comes with Node`)
  if (status !== 0) fail(`npm ci ended with ${signal || `status ${status}`}; its reason is above`)
  const after = missing()
  if (after.length > 0) fail(`npm ci left out ${after.length} packages, first ${after[0]}`)
}
