import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'

/** Hexadecimal sha256 of a file, or of `sizeBytes` of it from `start` on, without holding it. */
export async function sha256OfFile(
  path: string,
  part?: { readonly start: number; readonly sizeBytes: number },
): Promise<string> {
  const hash = createHash('sha256')
  const range = part && { start: part.start, end: part.start + part.sizeBytes - 1 }
  if (part?.sizeBytes !== 0)
    for await (const chunk of createReadStream(path, { ...range, highWaterMark: 2 ** 20 }))
      hash.update(chunk as Buffer)
  return hash.digest('hex')
}
