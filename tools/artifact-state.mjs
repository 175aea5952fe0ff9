// An input of every stage for Nx: node tools/artifact-state.mjs NAME
// Nx keeps the manifests of a user's artifacts, never their shards. As long as the shards of NAME
// stand as they were written this says so; otherwise it says something new each time, so that Nx
// runs the stage, which looks closer and mends. The artifacts of `smoke` are left out: Nx keeps
// them whole and lays them down again at every hit. Plain JavaScript, because Nx runs it for every
// task: the TypeScript loader alone would take longer than all of this.
import { readFileSync, readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'

const name = process.argv[2] ?? ''

/** As in packages/formats/src/artifact.ts. */
function stampOf(place) {
  const { size, mtimeMs, ctimeMs, ino } = statSync(place)
  return [size, mtimeMs, ctimeMs, ino].join(' ')
}

/** Whether every file stands as it was written; an absent artifact is nothing to mend. */
function isAsWritten(path) {
  let manifest
  try {
    manifest = JSON.parse(readFileSync(join(path, 'manifest.json'), 'utf8'))
  } catch (thrown) {
    return ['ENOENT', 'ENOTDIR'].includes(thrown.code)
  }
  try {
    const { stamps } = JSON.parse(readFileSync(join(path, 'stats.json'), 'utf8'))
    const tables = Object.values(manifest.tables).flatMap(table => table.shards)
    return [...tables, ...manifest.files].every(
      file => stamps[file.name] === stampOf(join(path, file.name)),
    )
  } catch {
    return false
  }
}

let configurations = []
try {
  configurations = readdirSync('.artifacts').filter(entry => entry !== 'smoke')
} catch {
  // Nothing was made yet.
}
const touched = configurations.filter(entry => !isAsWritten(join('.artifacts', entry, name)))
process.stdout.write(touched.length > 0 ? `${touched.join(' ')} ${Date.now()}\n` : 'as written\n')
