import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { StageError } from '@deepfever/core'
import { isGarbled, leavesFolder, refuseWideText } from './annotation-list.ts'
import type { Reading } from './labelled.ts'
import type { Source } from './source.ts'

/** The corpus's own spelling. */
const LIST = /^(?:.*\/)?EmoLabel\/list_patition_label\.txt$/

/**
 * RAF-DB basic. Labels 1 to 7 become 0 to 6: Surprise, Fear, Disgust, Happiness, Sadness, Anger,
 * Neutral.
 *
 * @param pictures `aligned` as the corpus cut them, or the `original` photographs
 * @throws StageError when the list is not there
 * @throws FormatError when the list is not UTF-8
 */
export async function* readRafDb(
  source: Source,
  pictures: 'aligned' | 'original' = 'aligned',
): AsyncGenerator<Reading> {
  const list = source.files.find(file => LIST.test(file.path))?.path
  if (list === undefined)
    throw new StageError(
      `${source.root}: no RAF-DB here: EmoLabel/list_patition_label.txt is missing`,
      { root: source.root },
    )
  const present = new Set(source.files.map(file => file.path))
  const folder = list.replace(/EmoLabel\/.*$/, `Image/${pictures}/`)
  const ending = pictures === 'aligned' ? '_aligned.jpg' : '.jpg'
  await refuseWideText(join(source.root, list))
  const lines = (await readFile(join(source.root, list), 'utf8')).replace(/^\ufeff/, '')
  const seen = new Set<string>()
  for (const line of lines.split(/\r?\n/).filter(text => text.trim() !== '')) {
    const cells = line.trim().split(/\s+/)
    const [name = '', label = ''] = cells
    const stem = name.replace(/\.[^.]*$/, '')
    const id = `rafdb:${stem}`
    const path = `${folder}${stem}${ending}`
    const split = /^(train|test)_/.exec(name)?.[1] as 'train' | 'test' | undefined
    const code = isGarbled(cells)
      ? 'bad_encoding'
      : leavesFolder(name)
        ? 'path_outside'
        : cells.length !== 2 || split === undefined || !/^[1-7]$/.test(label)
          ? 'bad_annotation'
          : seen.has(id)
            ? 'repeated_entry'
            : present.has(path)
              ? undefined
              : 'missing_picture'
    const member = { label: Number(label) - 1, split: split! }
    if (code === undefined) yield { picture: { id, path, ...member } }
    else yield { reject: { id, code, ...(code === 'missing_picture' && member) } }
    seen.add(id)
  }
}
