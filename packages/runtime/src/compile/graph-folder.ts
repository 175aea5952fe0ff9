import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { threadId } from 'node:worker_threads'

import { nativeFolder } from '../native/place.ts'

const digestOf = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex')

/** The folder that holds the bytes of a `saved_model.pb` under their sha256; made when missing. */
export function keepGraph(bytes: Uint8Array, digest = digestOf(bytes)): string {
  const folder = join(nativeFolder(), 'graphs', digest)
  const file = join(folder, 'saved_model.pb')
  if (existsSync(file)) return folder
  mkdirSync(folder, { recursive: true })
  const part = `${file}.${process.pid}.${threadId}`
  writeFileSync(part, bytes)
  renameSync(part, file)
  return folder
}
