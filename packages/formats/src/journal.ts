import { appendFile, mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Log } from '@deepfever/core'
import { sha256, type FileEntry, type Reject, type ShardEntry } from './manifest.ts'

/** What a run has written and counted so far. */
export interface State {
  inputs: number
  outputs: number
  rejects: Record<string, Reject & { count: number }>
  tables: Record<string, { version: number; rows: number; shards: ShardEntry[] }>
  files: FileEntry[]
  metadata: Record<string, unknown>
}

/** `<work>/journal`: a first line with the work's digest, then one line a safe point, with sha256. */
export interface Journal {
  readonly state: State
  /** items finished by earlier, interrupted runs */
  readonly done: ReadonlySet<string>
  /** Makes everything in `state` a safe point, `items` being those since the last one. */
  record(items: readonly string[]): Promise<void>
}

const emptyState = (): State => ({
  inputs: 0,
  outputs: 0,
  rejects: {},
  tables: {},
  files: [],
  metadata: {},
})

interface Point {
  readonly items: readonly string[]
  readonly state: State
}

const toLine = (point: Point): string => {
  const json = JSON.stringify(point)
  return `${sha256(json)} ${json}\n`
}

/** The safe points in a journal of this work, up to a line that a kill cut off or that was damaged. */
async function readPoints(file: string, digest: string): Promise<Point[]> {
  const text = await readFile(file, 'utf8').catch(() => '')
  const [first, ...lines] = text.split('\n').slice(0, -1)
  if (first !== digest) return []
  const points: Point[] = []
  for (const line of lines) {
    const [sum, json] = [line.slice(0, 64), line.slice(65)]
    if (sha256(json) !== sum) break
    points.push(JSON.parse(json) as Point)
  }
  return points
}

/**
 * Opens the journal in `work`. One that belongs to other work (options or inputs changed) is
 * thrown away together with the parts it speaks of.
 */
export async function openJournal(
  work: string,
  parts: string,
  digest: string,
  log: Log,
): Promise<Journal> {
  const file = join(work, 'journal')
  const points = await readPoints(file, digest)
  if (points.length === 0) await rm(parts, { recursive: true, force: true })
  await mkdir(parts, { recursive: true })
  // Rewritten whole: a line cut off by a kill must not run into the next one.
  await writeFile(file, `${digest}\n${points.map(toLine).join('')}`)
  const state = points.at(-1)?.state ?? emptyState()
  const done = new Set(points.flatMap(point => point.items))
  if (done.size > 0) log.event('continues', { work, itemsDone: done.size })
  return {
    state,
    done,
    record: items => appendFile(file, toLine({ items, state }), { flush: true }),
  }
}
