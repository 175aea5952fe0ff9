import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { isEntry, report, repositoryRoot } from './faults.ts'
import { readWorkspaces, type TargetJson } from './workspaces.ts'

type Values = Readonly<Record<string, unknown>>

/** One Nx target with the fields that the checks read. */
interface Target {
  /** `detect:faces` */
  readonly id: string
  readonly place: string
  readonly json: TargetJson
  readonly options: Values
  readonly configurations: ReadonlyMap<string, Values>
  readonly dependsOn: readonly string[]
  readonly outputs: readonly string[]
}

const isValues = (value: unknown): value is Values =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

const strings = (value: unknown): string[] =>
  Array.isArray(value) ? value.filter(item => typeof item === 'string') : []

/** `project:target` names that one entry of dependsOn stands for. */
function namesOf(entry: unknown, project: string): string[] {
  if (typeof entry === 'string') return [entry.includes(':') ? entry : `${project}:${entry}`]
  if (!isValues(entry) || typeof entry.target !== 'string') return [`${project}:?`]
  const { target } = entry
  const projects = typeof entry.projects === 'string' ? [entry.projects] : strings(entry.projects)
  return (projects.length === 0 ? [project] : projects).map(name => `${name}:${target}`)
}

function readTargets(root: string): Target[] {
  return readWorkspaces(root).flatMap(({ folder, room, json }) =>
    Object.entries(json.nx?.targets ?? {}).map(([name, target]) => ({
      id: `${room}:${name}`,
      place: `${folder}/package.json: target ${name}`,
      json: target,
      options: isValues(target.options) ? target.options : {},
      configurations: new Map(
        Object.entries(isValues(target.configurations) ? target.configurations : {}).map(
          ([key, value]) => [key, isValues(value) ? value : {}],
        ),
      ),
      dependsOn: (Array.isArray(target.dependsOn) ? target.dependsOn : []).flatMap(entry =>
        namesOf(entry, room),
      ),
      outputs: strings(target.outputs),
    })),
  )
}

/** Nx drops arrays and objects silently. */
const scalarFaults = ({ place, options, configurations }: Target): string[] =>
  [['options', options] as const, ...configurations].flatMap(([name, values]) =>
    Object.entries(values)
      .filter(([, value]) => !['string', 'number', 'boolean'].includes(typeof value))
      .map(
        ([key, value]) =>
          `${place}: ${name}.${key} is ${JSON.stringify(value)}, wanted a string, number or boolean`,
      ),
  )

/** Only the configuration flows down dependsOn, and a missing one silently runs the default. */
function nameFaults(targets: readonly Target[]): string[] {
  const all = [...new Set(targets.flatMap(target => [...target.configurations.keys()]))]
  return targets.flatMap(({ place, configurations, json }) => {
    const faults = all
      .filter(name => !configurations.has(name))
      .map(name => `${place}: configuration ${name} is missing; other targets have it`)
    const standard = json.defaultConfiguration
    if (standard !== undefined && !configurations.has(String(standard))) {
      faults.push(`${place}: defaultConfiguration ${String(standard)} is not a configuration`)
    }
    return faults
  })
}

/** What a target can be run as: its configurations, and `default` when its options stand alone. */
const runsOf = ({ options, configurations }: Target): [string, Values][] =>
  options.out === undefined ? [...configurations] : [['default', {}], ...configurations]

/** The option an output names, `{options.out}` or a path under it. */
const optionOf = (output: string): string | undefined => /^\{options\.(\w+)\}/.exec(output)?.[1]

/** Outputs are options, and each names a place of its own under `.artifacts/<configuration>/`. */
function outputFaults(target: Target): string[] {
  const { place, json, options, outputs } = target
  if (typeof json.command !== 'string') return [`${place}: command is missing`]
  // What is neither cached nor read by another target, such as a build outside the tree of artifacts.
  if (json.cache === false && outputs.length === 0) return []
  if (outputs.length === 0) return [`${place}: outputs are missing, wanted ["{options.out}"]`]
  const faults: string[] = []
  for (const output of outputs) {
    const name = optionOf(output)
    if (name === undefined) {
      faults.push(`${place}: output ${output}, wanted an option, such as {options.out}`)
      continue
    }
    for (const [configuration, values] of runsOf(target)) {
      const path = { ...options, ...values }[name]
      if (path === undefined && name !== 'out') continue
      const wanted = `.artifacts/${configuration}/`
      if (typeof path === 'string' && path.startsWith(wanted) && !path.includes('..')) continue
      const found = path === undefined ? 'missing' : JSON.stringify(path)
      faults.push(`${place}: ${configuration}.${name} is ${found}, wanted a path under ${wanted}`)
    }
  }
  return faults
}

/** Names of all targets before `id`, itself included. */
function chainOf(
  id: string,
  byId: ReadonlyMap<string, Target>,
  seen = new Set<string>(),
): Set<string> {
  if (seen.has(id)) return seen
  seen.add(id)
  for (const name of byId.get(id)?.dependsOn ?? []) chainOf(name, byId, seen)
  return seen
}

/** dependsOn names targets that exist, and what a target reads is written before it. */
function orderFaults(targets: readonly Target[]): string[] {
  const byId = new Map(targets.map(target => [target.id, target]))
  return targets.flatMap(target => {
    const faults = target.dependsOn
      .filter(name => !byId.has(name))
      .map(name => `${target.place}: dependsOn ${name}, which is no target`)
    const before = target.dependsOn.flatMap(name => [...chainOf(name, byId)])
    if (before.includes(target.id)) faults.push(`${target.place}: dependsOn leads back to itself`)
    for (const [configuration, values] of runsOf(target)) {
      const outs = before.map(id => outOf(byId.get(id), configuration))
      const written = new Set(target.outputs.map(optionOf))
      for (const [key, value] of Object.entries({ ...target.options, ...values })) {
        if (typeof value !== 'string' || written.has(key)) continue
        for (const path of value.split(',').filter(path => path.startsWith('.artifacts/'))) {
          if (outs.some(out => out !== undefined && `${path}/`.startsWith(`${out}/`))) continue
          faults.push(
            `${target.place}: ${configuration}.${key} reads ${path}, which no target before it writes`,
          )
        }
      }
    }
    return faults
  })
}

function outOf(target: Target | undefined, configuration: string): string | undefined {
  const out = { ...target?.options, ...target?.configurations.get(configuration) }.out
  return typeof out === 'string' ? out : undefined
}

/** Two targets that write one place would overwrite each other. */
function sharedFaults(targets: readonly Target[]): string[] {
  const owners = new Map<string, string>()
  const faults: string[] = []
  for (const target of targets) {
    for (const [configuration] of runsOf(target)) {
      const out = outOf(target, configuration)
      if (out === undefined) continue
      const owner = owners.get(out)
      if (owner !== undefined)
        faults.push(`${target.place}: ${configuration}.out ${out} is also the out of ${owner}`)
      else owners.set(out, `${target.id} ${configuration}`)
    }
  }
  return faults
}

/** Raw folders as inputs are read byte by byte on every run; an index is not. */
const inputFaults = ({ place, json }: Target): string[] =>
  strings(json.inputs)
    .filter(input => input.includes('datasets/raw'))
    .map(input => `${place}: input ${input} is a raw data folder; name its index instead`)

/** Files of the repository that a command or a runtime input starts must be there. */
function commandFaults(root: string, { place, json }: Target): string[] {
  const inputs = Array.isArray(json.inputs) ? (json.inputs as unknown[]) : []
  const commands = [json.command, ...inputs.map(input => (isValues(input) ? input.runtime : ''))]
  const words = commands.flatMap(command => (typeof command === 'string' ? command.split(' ') : []))
  return words
    .filter(word => /^[\w-]+\/.*\.(ts|mjs|js)$/.test(word) && !existsSync(join(root, word)))
    .map(word => `${place}: starts ${word}, which does not exist`)
}

/**
 * Holds the Nx targets of all packages together: the same configurations, resolvable order,
 * outputs of their own under `.artifacts/<configuration>/`, scalar options.
 *
 * @returns one line a fault: place, found, wanted
 */
export function targetFaults(root: string): string[] {
  const targets = readTargets(root)
  return [
    ...targets.flatMap(scalarFaults),
    ...nameFaults(targets),
    ...targets.flatMap(outputFaults),
    ...orderFaults(targets),
    ...sharedFaults(targets),
    ...targets.flatMap(inputFaults),
    ...targets.flatMap(target => commandFaults(root, target)),
  ]
}

if (isEntry(import.meta.url)) report('targets', targetFaults(process.argv[2] ?? repositoryRoot))
