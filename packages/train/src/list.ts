import { access, readFile, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { StageError, defineStage, path } from '@deepfever/core'
import { isLocked, openArtifact, readManifest } from '@deepfever/formats'
import { CHECKPOINTS, readRecord, stepsIn, type RunRecord } from './checkpoints.ts'
import { RUN_RECORD } from './result.ts'
import { METRICS } from './run-log.ts'
import { RUN_PAGE } from './run-page.ts'
import { describeDifferences, differencesOf, type Settings } from './settings.ts'

/** A run of a folder, finished or not. */
interface KnownRun {
  readonly name: string
  readonly state: 'finished' | 'running' | 'stopped'
  /** undefined before the first checkpoint */
  readonly record?: Pick<RunRecord, 'step' | 'best' | 'settings'> & { readonly steps?: number }
  /** of the last step that was written */
  readonly losses: Readonly<Record<string, number>>
  /** its report.html; undefined where none was written */
  readonly page: string | undefined
}

const pageIn = (folder: string): Promise<string | undefined> => {
  const page = join(folder, RUN_PAGE)
  return access(page).then(
    () => page,
    () => undefined,
  )
}

const WORK = '.work'

/** The last whole line of metrics.jsonl as losses. */
function lastLosses(metrics: string): Record<string, number> {
  const line = metrics.slice(0, metrics.lastIndexOf('\n')).split('\n').at(-1)
  if (!line) return {}
  const { step: _step, epoch: _epoch, ...losses } = JSON.parse(line) as Record<string, number>
  return losses
}

async function readFinished(folder: string, name: string): Promise<KnownRun | undefined> {
  const place = join(folder, name)
  const found = await readManifest(place).catch(() => undefined)
  if (found?.manifest.kind !== 'checkpoint') return undefined
  const artifact = await openArtifact(place, 'checkpoint')
  const textOf = async (file: string) => Buffer.from(await artifact.file(file)).toString()
  const record = JSON.parse(await textOf(RUN_RECORD)) as RunRecord
  const losses = lastLosses(await textOf(METRICS))
  const page = await pageIn(place)
  return { name, state: 'finished', record: { ...record, steps: record.step }, losses, page }
}

async function readUnfinished(folder: string, name: string): Promise<KnownRun | undefined> {
  const work = join(folder, name)
  const checkpoints = join(work, CHECKPOINTS)
  const isRun = await readdir(checkpoints).then(
    () => true,
    () => false,
  )
  if (!isRun) return undefined
  const [newest] = await stepsIn(checkpoints)
  const metrics = await readFile(join(work, METRICS), 'utf8').catch(() => '')
  return {
    name: name.slice(0, -WORK.length),
    state: (await isLocked(work)) ? 'running' : 'stopped',
    ...(newest !== undefined && { record: await readRecord(checkpoints, newest) }),
    losses: lastLosses(metrics),
    page: await pageIn(work),
  }
}

/** The runs of `folder`, finished and unfinished ones. */
export async function readRuns(folder: string): Promise<KnownRun[]> {
  const names = await readdir(folder).catch((thrown: unknown) => {
    throw new StageError(`${folder}: no such folder; wanted one with runs`, { folder }, thrown)
  })
  const runs: KnownRun[] = []
  for (const name of names.sort()) {
    const read = name.endsWith(WORK) ? readUnfinished : readFinished
    const run = await read(folder, name)
    if (run) runs.push(run)
  }
  return runs
}

const round = (value: number): string => String(Number(value.toPrecision(4)))

/** What makes a run another one than the first of its experiment. */
function differencesText(run: KnownRun, runs: readonly KnownRun[]): string {
  const own = run.record?.settings
  if (own === undefined) return ''
  const isAkin = ({ record }: KnownRun) => record?.settings.stage === own.stage
  const first = runs.find(isAkin)!
  if (first === run) return ''
  const differences = differencesOf(first.record?.settings as Settings, own)
  return `${first.name}: ${describeDifferences(differences) || 'the same'}`
}

/** A line a run below a line of names. */
export function runLines(runs: readonly KnownRun[]): string[] {
  const rows = runs.map(run => {
    const { name, state, record, losses, page } = run
    const step = record ? `${record.step} of ${record.steps ?? '?'}` : '-'
    const shown = Object.entries(losses).map(([loss, value]) => `${loss} ${round(value)}`)
    const best = record?.best ? `${round(record.best.accuracy)} at ${record.best.step}` : '-'
    return [
      name,
      state,
      step,
      best,
      shown.join(', ') || '-',
      page ?? '-',
      differencesText(run, runs),
    ]
  })
  const all = [
    ['run', 'state', 'step', 'held-out', 'last losses', 'page', 'against the first of its kind'],
    ...rows,
  ]
  const widths = all[0]!.map((_, i) => Math.max(...all.map(row => row[i]!.length)))
  return all.map(row =>
    row
      .map((cell, i) => cell.padEnd(widths[i]!))
      .join('  ')
      .trimEnd(),
  )
}

/** The runs of a folder beside each other. */
export const list = defineStage({
  name: 'train list',
  summary: 'runs side by side: state, step, losses, what makes them differ',
  behaviour: 1,
  words: ['runs'],
  options: { runs: path('folder with runs in it; or the first word') },
  async run({ runs: folder }) {
    const lines = runLines(await readRuns(folder))
    // Names come from files of others and must not steer a terminal.
    process.stdout.write(`${lines.map(line => line.replace(/\p{C}/gu, '?')).join('\n')}\n`)
    return lines
  },
})
