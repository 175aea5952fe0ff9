import { mkdir, open, rename, rm, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'

/**
 * Writes a file, piece by piece where it is given so; under its name there is the old content or
 * the new, at any moment.
 */
export async function writeWholeFile(
  path: string,
  data: Uint8Array | string | AsyncIterable<Uint8Array | string>,
): Promise<void> {
  await mkdir(dirname(path), { recursive: true })
  const part = `${path}.${process.pid}.part`
  try {
    const handle = await open(part, 'w')
    try {
      await writeFile(handle, data)
      await handle.sync()
    } finally {
      await handle.close()
    }
    await rename(part, path)
  } catch (thrown) {
    await rm(part, { force: true })
    throw thrown
  }
}
