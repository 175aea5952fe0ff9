import { StageError } from '@deepfever/core'
import type { LabelledPicture, Reading } from './labelled.ts'
import type { Source } from './source.ts'

const PICTURE = /\.(jpe?g|png|gif|webp)$/i
const splits: ReadonlyMap<string, LabelledPicture['split']> = new Map([
  ['train', 'train'],
  ['val', 'val'],
  ['valid', 'val'],
  ['validation', 'val'],
  ['test', 'test'],
])

/** Pictures in folders named after their classes. */
export interface ClassFolders {
  /** names of the folders, sorted by code unit; a picture's label is the place in this list */
  readonly classes: readonly string[]
  readonly readings: readonly Reading[]
}

/**
 * Reads `<class>/<picture>`, or `<split>/<class>/<picture>` where every first folder is named train,
 * val, valid, validation or test. Pictures may lie deeper. Without splits all are `test`.
 *
 * @throws StageError when fewer than two classes have a picture
 */
export function readClassFolders({ root, files }: Source): ClassFolders {
  const parts = files.map(({ path }) => ({ path, folders: path.split('/').slice(0, -1) }))
  const pictures = parts.filter(({ path }) => PICTURE.test(path))
  const within = pictures.filter(({ folders }) => folders.length > 0)
  const split = within.length > 0 && within.every(({ folders }) => splits.has(folders[0]!))
  const depth = split ? 1 : 0
  const classes = [
    ...new Set(within.flatMap(({ folders }) => folders.slice(depth, depth + 1))),
  ].sort()
  if (classes.length < 2)
    throw new StageError(
      `${root}: found ${classes.length} folder(s) with pictures (JPEG, PNG, GIF or WebP), wanted ` +
        'one for each of at least two classes: <class>/<picture> or <split>/<class>/<picture>',
      { root, found: classes, wanted: 2 },
    )
  const readings = parts.map(({ path, folders }): Reading => {
    const id = `folder:${path}`
    if (!PICTURE.test(path)) return { reject: { id, code: 'not_a_picture' } }
    const name = folders[depth]
    if (name === undefined) return { reject: { id, code: 'no_class' } }
    const label = classes.indexOf(name)
    return { picture: { id, path, label, split: split ? splits.get(folders[0]!)! : 'test' } }
  })
  return { classes, readings }
}
