import { existsSync, readFileSync, readdirSync } from 'node:fs'
import { isBuiltin } from 'node:module'
import { dirname, join, relative, resolve, sep } from 'node:path'
import ts from 'typescript'
import { isEntry, report, repositoryRoot } from './faults.ts'
import { readWorkspaces, type Workspace } from './workspaces.ts'

/** What a room may import: other rooms, and the third-party packages that stay inside it. */
interface Room {
  readonly rooms: readonly string[]
  /** `name`, or `@scope/` for all packages of a scope */
  readonly thirdParty: readonly string[]
}

const below = ['core', 'formats', 'media', 'runtime', 'models', 'faces', 'losses', 'datasets']
const stages = ['ingest', 'detect', 'targets', 'train', 'eval', 'extract']
const stage: Room = { rooms: below, thirdParty: [] }

/** The table that the tree is held against. */
export const rooms: ReadonlyMap<string, Room> = new Map<string, Room>([
  ['core', { rooms: [], thirdParty: [] }],
  [
    'formats',
    {
      rooms: ['core'],
      thirdParty: ['apache-arrow', 'csv-parse', 'hyparquet', 'hyparquet-compressors', 'parquetjs'],
    },
  ],
  ['media', { rooms: ['core'], thirdParty: ['sharp', '@ffmpeg-binary/', '@cornerstonejs/'] }],
  [
    'runtime',
    {
      rooms: ['core', 'formats'],
      thirdParty: ['@tensorflow/', 'node-api-headers', 'onnxruntime-node'],
    },
  ],
  ['models', { rooms: ['core', 'formats', 'media', 'runtime'], thirdParty: [] }],
  ['faces', { rooms: ['core', 'formats', 'media', 'runtime', 'models'], thirdParty: [] }],
  ['losses', { rooms: ['core', 'runtime'], thirdParty: [] }],
  ['datasets', { rooms: ['core', 'formats', 'media'], thirdParty: [] }],
  ...stages.map(name => [name, stage] as const),
  [
    'web',
    {
      rooms: ['core', 'media', 'runtime', 'models', 'faces'],
      thirdParty: ['onnxruntime-web', 'vite'],
    },
  ],
  ['cli', { rooms: [...below, ...stages], thirdParty: [] }],
])

/** The loader of TypeScript: a process or a worker that starts a room's source needs it. */
const everywhere = ['tsx']

const scope = '@deepfever/'

/** `@deepfever/core/x` → `@deepfever/core`, `sharp/lib` → `sharp`. */
const packageOf = (specifier: string): string =>
  specifier
    .split('/')
    .slice(0, specifier.startsWith('@') ? 2 : 1)
    .join('/')

/** Why `room` may not import `name`; undefined when it may. */
function refusal(room: string, name: string): string | undefined {
  const allowed = rooms.get(room)
  if (allowed === undefined || everywhere.includes(name)) return undefined
  if (name.startsWith(scope)) {
    const other = name.slice(scope.length)
    if (allowed.rooms.includes(other)) return undefined
    if (!rooms.has(other)) return `${name} is not a room`
    if (stages.includes(room) && stages.includes(other)) {
      return `stage ${room} may not import stage ${other}: stages meet only on disk`
    }
    return `${room} may import ${allowed.rooms.join(', ') || 'no other room'}, not ${other}`
  }
  const inside = (pattern: string) =>
    name === pattern || (pattern.endsWith('/') && name.startsWith(pattern))
  if (allowed.thirdParty.some(inside)) return undefined
  const home = [...rooms].find(([, other]) => other.thirdParty.some(inside))?.[0]
  return home === undefined ? `${name} has no room in the table` : `${name} stays inside ${home}`
}

/** Paths of source files under `folder`, from `root`. */
function sourcesOf(root: string, folder: string): string[] {
  const from = join(root, folder)
  if (!existsSync(from)) return []
  return readdirSync(from, { recursive: true, encoding: 'utf8' })
    .filter(path => /\.(ts|mts|mjs|js)$/.test(path) && !path.includes('node_modules'))
    .map(path => join(folder, path).split(sep).join('/'))
    .sort()
}

/** Faults of a package's description: tag, names and dependencies. */
function describedFaults({ folder, room, json }: Workspace): string[] {
  const place = `${folder}/package.json`
  const faults: string[] = []
  if (!rooms.has(room)) faults.push(`${place}: ${room} is not in the table of rooms`)
  if (json.name !== scope + room) {
    faults.push(`${place}: name is ${json.name ?? 'missing'}, wanted ${scope}${room}`)
  }
  if (json.nx?.name !== room) {
    faults.push(`${place}: nx.name is ${json.nx?.name ?? 'missing'}, wanted ${room}`)
  }
  const tags = json.nx?.tags ?? []
  if (!tags.includes(`room:${room}`) || tags.filter(tag => tag.startsWith('room:')).length !== 1) {
    faults.push(`${place}: nx.tags are [${tags.join(', ')}], wanted room:${room} and no other room`)
  }
  for (const name of Object.keys({ ...json.dependencies, ...json.optionalDependencies })) {
    const reason = refusal(room, name)
    if (reason !== undefined) faults.push(`${place}: depends on ${name}: ${reason}`)
  }
  return faults
}

/** The ways into every room: its name, and what its `exports` add (`@deepfever/runtime/onnx`). */
const doorsOf = (workspaces: readonly Workspace[]): ReadonlySet<string> =>
  new Set(
    workspaces.flatMap(({ room, json }) =>
      Object.keys(json.exports ?? { '.': '' }).map(door => scope + room + door.slice(1)),
    ),
  )

/** Faults of one import statement of a source file. */
function importFault(
  { folder, room, json }: Workspace,
  file: string,
  specifier: string,
  doors: ReadonlySet<string>,
): string | undefined {
  if (specifier.startsWith('.')) {
    const target = relative('.', resolve(dirname(file), specifier))
      .split(sep)
      .join('/')
    if (!target.startsWith(`${folder}/`)) {
      return `${file}: imports ${specifier}, outside its package; import the package by name`
    }
    return target.startsWith(`${folder}/test/`)
      ? `${file}: imports ${specifier}; nothing imports tests`
      : undefined
  }
  if (isBuiltin(specifier)) {
    return specifier.startsWith('node:')
      ? undefined
      : `${file}: imports ${specifier}, wanted node:${specifier}`
  }
  const name = packageOf(specifier)
  if (name === scope + room) return `${file}: imports its own package by name; import the file`
  const reason = refusal(room, name)
  if (reason !== undefined) return `${file}: imports ${specifier}: ${reason}`
  if (name.startsWith(scope) && specifier !== name && !doors.has(specifier)) {
    const open = [name, ...[...doors].filter(door => door.startsWith(`${name}/`))]
    return `${file}: imports ${specifier}; the doors of that room are ${open.join(', ')}`
  }
  if (!(name in { ...json.dependencies, ...json.optionalDependencies })) {
    return `${file}: imports ${name}, which ${folder}/package.json does not list in dependencies`
  }
  return undefined
}

/**
 * Holds the packages' dependencies, Nx tags and import statements against the table of rooms.
 * Tests may import anything.
 *
 * @returns one line a fault: place, found, wanted
 */
export function layerFaults(root: string): string[] {
  const workspaces = readWorkspaces(root)
  const doors = doorsOf(workspaces)
  return workspaces.flatMap(workspace => {
    const files = ['src', 'configs', 'bin', 'published'].flatMap(name =>
      sourcesOf(root, `${workspace.folder}/${name}`),
    )
    const imported = files.flatMap(file =>
      ts
        .preProcessFile(readFileSync(join(root, file), 'utf8'), true, true)
        .importedFiles.flatMap(
          ({ fileName }) => importFault(workspace, file, fileName, doors) ?? [],
        ),
    )
    return [...describedFaults(workspace), ...imported]
  })
}

if (isEntry(import.meta.url)) report('layers', layerFaults(process.argv[2] ?? repositoryRoot))
