import { readWorkspaces, type TargetJson } from './workspaces.ts'

/** One step of the smoke chain. */
export interface Step {
  /** `detect:faces` */
  readonly id: string
  /** where its smoke configuration writes, relative to the root */
  readonly out: string
  readonly dependsOn: readonly string[]
}

function stepOf(room: string, name: string, json: TargetJson): Step {
  const configurations = json.configurations as Record<string, Record<string, unknown>> | undefined
  const dependsOn = (Array.isArray(json.dependsOn) ? json.dependsOn : []) as unknown[]
  return {
    id: `${room}:${name}`,
    out: String(configurations?.smoke?.out ?? ''),
    dependsOn: dependsOn.flatMap(entry => {
      if (typeof entry === 'string') return entry.includes(':') ? entry : `${room}:${entry}`
      const { projects = room, target } = entry as { projects?: string | string[]; target: string }
      return [projects].flat().map(project => `${project}:${target}`)
    }),
  }
}

/**
 * The targets of every package that have a smoke configuration, each after the ones it depends on.
 */
export function readSmokeChain(root: string): Step[] {
  const steps = new Map<string, Step>()
  for (const { room, json } of readWorkspaces(root)) {
    for (const [name, target] of Object.entries(json.nx?.targets ?? {})) {
      const step = stepOf(room, name, target)
      if (step.out !== '') steps.set(step.id, step)
    }
  }
  const ordered = new Map<string, Step>()
  const visit = (step: Step, above: readonly string[]) => {
    if (ordered.has(step.id) || above.includes(step.id)) return
    for (const id of step.dependsOn) {
      const before = steps.get(id)
      if (before !== undefined) visit(before, [...above, step.id])
    }
    ordered.set(step.id, step)
  }
  for (const step of steps.values()) visit(step, [])
  return [...ordered.values()]
}
