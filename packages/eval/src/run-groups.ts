import { basename } from 'node:path'
import type { Report } from './report.ts'

/** Reports of runs that repeat one another but for the training seed, judged in the same way. */
export interface RunGroup {
  /** of its row */
  readonly name: string
  readonly reports: readonly Report[]
}

/** Reports by runs, and those left out since the same run is there already. */
export interface GroupedRuns {
  readonly groups: readonly RunGroup[]
  readonly repeated: readonly Report[]
}

/** Settings that leave a headline as it is, or are a column of their own. */
const BESIDE = new Set(['seed', 'classes', 'baseline', 'sweep', 'codes'])

/**
 * Puts reports into one group where their extractors come from one recipe, or, where that is not
 * known, have one name but for `-seed<N>`, and where data and settings of the evaluation agree.
 *
 * @param reports in order; of two of one run with the same settings the first one counts
 */
export function groupRuns(reports: readonly Report[]): GroupedRuns {
  const groups = new Map<string, Report[]>()
  const seen = new Set<string>()
  const repeated: Report[] = []
  for (const report of reports) {
    const key = keyOf(report)
    const run = [key, classesOf(report), runOf(report)].join(' ')
    if (seen.has(run)) repeated.push(report)
    else groups.set(key, [...(groups.get(key) ?? []), report])
    seen.add(run)
  }
  const all = [...groups.values()]
  const rowOf = ([first]: readonly Report[]) =>
    `${nameOf(first!)} ${String(first!.configuration['stage'])}`
  const isShared = (own: readonly Report[]) =>
    all.some(other => other !== own && rowOf(other) === rowOf(own))
  return {
    repeated,
    groups: all.map(own => {
      const [first] = own as [Report]
      const name = nameOf(first)
      return { name: isShared(own) ? `${name} (${differences(first)})` : name, reports: own }
    }),
  }
}

const classesOf = ({ configuration }: Report) => String(configuration['classes'] ?? '')

function keyOf(report: Report): string {
  const settings = Object.entries(report.configuration).filter(([name]) => !BESIDE.has(name))
  const extractor = report.training?.recipe ?? nameOf(report)
  return JSON.stringify([extractor, report.digests['faces'], settings.sort()])
}

/** Names the run itself: its weights or vectors. */
const runOf = ({ digests, extractor }: Report): string =>
  digests['checkpoint'] ?? digests['onnx'] ?? digests['features'] ?? extractor

/** `.artifacts/a/student-seed2` → `student`. */
const nameOf = ({ extractor }: Report): string => basename(extractor).replace(/-seed-?\d+$/, '')

/** What tells groups of one name apart, in a few words. */
function differences({ extractor, training, digests, configuration }: Report): string {
  const penalty = configuration['penalty']
  return [
    extractor,
    ...(training ? [`recipe ${training.recipe.slice(0, 8)}`] : []),
    ...(penalty === undefined ? [] : [`C ${String(penalty)}`]),
    ...(configuration['leakage'] === false ? ['leaked included'] : []),
    `faces ${String(digests['faces']).slice(0, 8)}`,
  ].join(', ')
}
