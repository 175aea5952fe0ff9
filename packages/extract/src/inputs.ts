import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { UsageError } from '@deepfever/core'

/** A picture or clip that was named, or found in a folder that was. */
export interface Input {
  readonly path: string
  readonly isClip: boolean
}

const PICTURE = /\.(jpe?g|png|webp)$/i
const CLIP = /\.(mp4|m4v|mov|mkv|webm|avi|mpe?g|m?ts|m2ts|3gp|flv|wmv|asf|ogv|gif)$/i

/**
 * Lists what `words` name, in their order: files, folders with their subfolders (by name), and for
 * `-` the paths on `lines`. A file that was named itself is a picture unless it is named as a clip.
 *
 * @throws UsageError for a path that is not there, or when there is nothing at all
 */
export async function listInputs(
  words: readonly string[],
  lines: AsyncIterable<Uint8Array | string>,
): Promise<Input[]> {
  const inputs: Input[] = []
  const add = async (path: string) => {
    const found = await stat(path).catch((thrown: unknown) => {
      throw new UsageError(`${path}: not there, wanted a picture, clip or folder`, { path }, thrown)
    })
    if (!found.isDirectory()) return void inputs.push({ path, isClip: CLIP.test(path) })
    const names = await readdir(path, { recursive: true })
    for (const name of names.sort())
      if (PICTURE.test(name) || CLIP.test(name))
        inputs.push({ path: join(path, name), isClip: CLIP.test(name) })
  }
  for (const word of words)
    if (word === '-') for (const line of await readLines(lines)) await add(line)
    else await add(word)
  if (inputs.length > 0) return inputs
  throw new UsageError(`${words.join(' ') || 'no input'}: no picture or clip; give some`, { words })
}

async function readLines(stream: AsyncIterable<Uint8Array | string>): Promise<string[]> {
  const chunks: Buffer[] = []
  for await (const chunk of stream) chunks.push(Buffer.from(chunk))
  const text = Buffer.concat(chunks).toString()
  return text.split(text.includes('\0') ? '\0' : /\r?\n/).filter(line => line.trim() !== '')
}
