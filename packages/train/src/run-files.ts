import { open, type FileHandle } from 'node:fs/promises'
import { join } from 'node:path'
import { StageError } from '@deepfever/core'

/** A file that grows while a run goes on. */
export interface RunFile {
  append(data: string | Uint8Array): void
  /** Waits until all is on disk; the file's size then. */
  flush(): Promise<number>
}

/** The growing files of a run, by name. */
export interface RunFiles<Name extends string> {
  readonly files: Readonly<Record<Name, RunFile>>
  /** sizes of all after a flush */
  flush(): Promise<Record<string, number>>
  close(): Promise<void>
}

const KEPT_BYTES = 64 * 1024

/**
 * Opens files in `folder`, each cut to the size it had at the checkpoint, so that a run that goes
 * on writes what an undisturbed one would have.
 *
 * @param sizes by name; a file that is not named begins empty
 * @throws StageError when a file is shorter than that
 */
export async function openRunFiles<Name extends string>(
  folder: string,
  names: readonly Name[],
  sizes: Readonly<Record<string, number>>,
): Promise<RunFiles<Name>> {
  const handles: FileHandle[] = []
  const files = {} as Record<Name, RunFile>
  const close = async () => {
    for (const handle of handles) await handle.close()
  }
  for (const name of names) {
    const handle = await open(join(folder, name), 'a')
    handles.push(handle)
    const wanted = sizes[name] ?? 0
    const { size: found } = await handle.stat()
    if (found < wanted) {
      await close()
      throw new StageError(
        `${join(folder, name)}: ends ${wanted - found} bytes before its checkpoint; begin anew with --force`,
        { place: join(folder, name), found, wanted },
      )
    }
    await handle.truncate(wanted)
    files[name] = openRunFile(handle, wanted)
  }
  return {
    files,
    async flush() {
      const sizesNow: Record<string, number> = {}
      for (const name of names) sizesNow[name] = await files[name].flush()
      return sizesNow
    },
    close,
  }
}

function openRunFile(handle: FileHandle, start: number): RunFile {
  let size = start
  let pending: Uint8Array[] = []
  let pendingBytes = 0
  let last: Promise<unknown> = Promise.resolve()
  const write = () => {
    if (pendingBytes === 0) return
    const data = Buffer.concat(pending)
    pending = []
    pendingBytes = 0
    last = last.then(() => handle.writeFile(data))
    // Seen at the next flush.
    last.catch(() => {})
  }
  return {
    append(data) {
      const bytes = typeof data === 'string' ? Buffer.from(data) : data
      pending.push(bytes)
      pendingBytes += bytes.length
      size += bytes.length
      if (pendingBytes >= KEPT_BYTES) write()
    },
    async flush() {
      write()
      await last
      await handle.sync()
      return size
    },
  }
}
