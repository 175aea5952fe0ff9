import { createReadStream } from 'node:fs'
import type { Forgotten } from '@deepfever/formats'

/**
 * Looks for the ids of what is to be forgotten in the bytes of files that no table describes:
 * pages, reports, exported features.
 */
export function openTraces({ clips, faces }: Forgotten): (file: string) => Promise<boolean> {
  const needles = [...clips, ...faces].map(id => Buffer.from(id))
  const longest = Math.max(0, ...needles.map(({ length }) => length))
  return async file => {
    let rest: Buffer = Buffer.alloc(0)
    for await (const chunk of createReadStream(file, { highWaterMark: 2 ** 22 })) {
      const bytes = Buffer.concat([rest, chunk as Buffer])
      if (needles.some(needle => bytes.includes(needle))) return true
      // An id may lie across two pieces.
      rest = bytes.subarray(Math.max(0, bytes.length - longest + 1))
    }
    return false
  }
}
