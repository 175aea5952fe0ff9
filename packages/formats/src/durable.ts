import { mkdir, open, rename, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'

/** Writes a file, or its pieces as they come, and waits until it is on disk. */
export async function writeDurably(
  place: string,
  data: Uint8Array | string | AsyncIterable<Uint8Array>,
): Promise<void> {
  const handle = await open(place, 'w')
  try {
    if (typeof data === 'string' || data instanceof Uint8Array) await handle.writeFile(data)
    else for await (const piece of data) await handle.writeFile(piece)
    await handle.sync()
  } finally {
    await handle.close()
  }
}

/** Puts a file in the place of another: one of the two is there at any moment. */
export async function replaceDurably(place: string, data: Uint8Array | string): Promise<void> {
  const fresh = `${place}.new`
  await writeDurably(fresh, data)
  await rename(fresh, place)
  await syncFolder(dirname(place))
}

/**
 * Writes a folder of files that is whole or absent at any moment, a crash of the machine included.
 * What stood under its name is replaced. On an error (a full disk) nothing that stood is lost.
 */
export async function writeFolder(
  place: string,
  files: Readonly<Record<string, Uint8Array | string>>,
): Promise<void> {
  const fresh = `${place}.new`
  await rm(fresh, { recursive: true, force: true })
  try {
    await mkdir(fresh, { recursive: true })
    for (const [name, data] of Object.entries(files)) await writeDurably(join(fresh, name), data)
    await syncFolder(fresh)
  } catch (thrown) {
    await rm(fresh, { recursive: true, force: true })
    throw thrown
  }
  await rm(place, { recursive: true, force: true })
  await rename(fresh, place)
  await syncFolder(dirname(place))
}

/** A rename is on disk only when the folder is. */
async function syncFolder(place: string): Promise<void> {
  const handle = await open(place, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}
