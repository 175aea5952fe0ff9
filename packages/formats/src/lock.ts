import { link, mkdir, open, readFile, rename, rm } from 'node:fs/promises'
import { readFileSync } from 'node:fs'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { isDeepStrictEqual } from 'node:util'
import { StageError } from '@deepfever/core'

interface Holder {
  readonly pid: number
  readonly host: string
  /** start of the process in clock ticks, so that a reused process id is not taken for it */
  readonly started: string
}

function startOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1)?.split(' ')[19] ?? ''
  } catch {
    return ''
  }
}

function isAlive({ pid, host, started }: Holder): boolean {
  if (host !== hostname()) return true
  try {
    process.kill(pid, 0)
  } catch (thrown) {
    return (thrown as NodeJS.ErrnoException).code === 'EPERM'
  }
  return startOf(pid) === started
}

async function readHolder(file: string): Promise<Holder | undefined> {
  try {
    return JSON.parse(await readFile(file, 'utf8')) as Holder
  } catch {
    return undefined
  }
}

/** The holder that a lock names, once it does: between opening and writing it is empty. */
async function waitForHolder(file: string): Promise<Holder | undefined> {
  for (let waits = 0; waits < 20; waits++) {
    const holder = await readHolder(file)
    if (holder) return holder
    await setTimeout(50)
  }
  return undefined
}

/**
 * Moves away a lock whose process is gone; only one of several waiting processes succeeds. One that
 * was taken over since it was read goes back to its place.
 */
async function removeStale(file: string, seen: Holder | undefined): Promise<void> {
  const moved = `${file}.stale.${process.pid}`
  try {
    await rename(file, moved)
  } catch {
    return
  }
  if (!isDeepStrictEqual(await readHolder(moved), seen)) await link(moved, file).catch(() => {})
  await rm(moved, { force: true })
}

/** Whether a process is writing in `work`. */
export async function isLocked(work: string): Promise<boolean> {
  const holder = await readHolder(join(work, 'lock'))
  return holder !== undefined && isAlive(holder)
}

/**
 * Takes `<work>/lock`; a lock whose process is gone is taken over.
 *
 * @returns gives the lock back
 * @throws StageError naming the process that holds it
 */
export async function takeLock(work: string): Promise<() => Promise<void>> {
  await mkdir(work, { recursive: true }).catch((thrown: NodeJS.ErrnoException) => {
    // So Node calls a disk that is read-only, too; without `recursive` it gives the true reason.
    if (thrown.code !== 'ENOENT') throw thrown
    return mkdir(work)
  })
  const file = join(work, 'lock')
  const me: Holder = { pid: process.pid, host: hostname(), started: startOf(process.pid) }
  for (let attempt = 0; attempt < 3; attempt++) {
    try {
      const handle = await open(file, 'wx')
      await handle.writeFile(JSON.stringify(me))
      await handle.close()
      return () => rm(file, { force: true })
    } catch (thrown) {
      if ((thrown as NodeJS.ErrnoException).code !== 'EEXIST') throw thrown
    }
    const holder = await waitForHolder(file)
    if (holder && isAlive(holder))
      throw new StageError(
        `${work}: process ${holder.pid} on ${holder.host} is writing here; wait for it` +
          (holder.host === me.host ? '' : `, or delete ${file} if that machine is gone`),
        { place: work, ...holder },
      )
    await removeStale(file, holder)
  }
  throw new StageError(`${work}: the lock changes hands; try again`, { place: work })
}
