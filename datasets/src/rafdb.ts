import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { StageError } from '@deepfever/core'
import type { Reading } from './labelled.ts'
import type { Source } from './source.ts'

/** The corpus's own spelling. */
const LIST = /^(?:.*\/)?EmoLabel\/list_patition_label\.txt$/

/**
 * RAF-DB basic, aligned pictures. Labels 1 to 7 become 0 to 6: Surprise, Fear, Disgust, Happiness,
 * Sadness, Anger, Neutral.
 *
 * @throws StageError when the list is not there
 */
export async function* readRafDb(source: Source): AsyncGenerator<Reading> {
  const list = source.files.find(file => LIST.test(file.path))?.path
  if (list === undefined)
    throw new StageError(
      `${source.root}: no RAF-DB here: EmoLabel/list_patition_label.txt is missing`,
      { root: source.root },
    )
  const present = new Set(source.files.map(file => file.path))
  const folder = list.replace(/EmoLabel\/.*$/, 'Image/aligned/')
  const lines = (await readFile(join(source.root, list), 'utf8')).split(/\r?\n/)
  for (const line of lines.filter(text => text.trim() !== '')) {
    const [name = '', label = ''] = line.trim().split(/\s+/)
    const id = `rafdb:${name.replace(/\.[^.]*$/, '')}`
    const path = `${folder}${name.replace(/\.[^.]*$/, '')}_aligned.jpg`
    const split = /^(train|test)_/.exec(name)?.[1] as 'train' | 'test' | undefined
    if (split === undefined || !/^[1-7]$/.test(label))
      yield { reject: { id, code: 'bad_annotation' } }
    else if (!present.has(path)) yield { reject: { id, code: 'missing_picture' } }
    else yield { picture: { id, path, label: Number(label) - 1, split } }
  }
}
