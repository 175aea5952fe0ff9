import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { FormatError, StageError, mapOrdered } from '@deepfever/core'
import { decodeNpy, readCsv } from '@deepfever/formats'
import type { Reading } from './labelled.ts'
import type { Source } from './source.ts'

/** Labels above are None, Uncertain and Non-Face: pictures without an expression class. */
const CLASSES = 8
const ANNOTATION = /^(?:.*\/)?(train|val)_set\/annotations\/([^/]+)_exp\.npy$/
const LIST = /^(?:.*\/)?Manually_Annotated_file_lists\/(training|validation)\.csv$/
const COLUMNS_2017 = 9

/**
 * AffectNet, either release: the 2017 one (CSV lists) or the newer one (a picture and .npy files a
 * face). See SPEC of the layouts in datasets/README.md.
 *
 * @throws StageError when the folder has neither layout
 */
export async function* readAffectNet(source: Source): AsyncGenerator<Reading> {
  const annotations = source.files.filter(file => ANNOTATION.test(file.path))
  const lists = source.files.filter(file => LIST.test(file.path))
  if (annotations.length > 0)
    yield* readNewer(
      source,
      annotations.map(file => file.path),
    )
  else if (lists.length > 0) for (const { path } of lists) yield* read2017(source, path)
  else
    throw new StageError(
      `${source.root}: no AffectNet here: found neither train_set/annotations/*_exp.npy nor ` +
        'Manually_Annotated_file_lists/training.csv',
      { root: source.root },
    )
}

/** One number from a 0-d array: whole, float, or text as the release has it. */
async function readLabel(place: string): Promise<number> {
  const { values } = decodeNpy(await readFile(place), place)
  // Number('') is 0, a class.
  const text = values.length === 1 ? String(values[0]).trim() : ''
  const label = text === '' ? NaN : Number(text)
  if (Number.isInteger(label) && label >= 0 && label <= 10) return label
  throw new FormatError(`${place}: found ${String(values[0])}, wanted one label 0 to 10`, { place })
}

async function* readNewer(source: Source, annotations: string[]): AsyncGenerator<Reading> {
  const present = new Set(source.files.map(file => file.path))
  yield* mapOrdered(annotations, 16, async (path): Promise<Reading> => {
    const [, set, name] = ANNOTATION.exec(path)!
    const id = `affectnet:${set}/${name}`
    const image = path.replace(`annotations/${name}_exp.npy`, `images/${name}.jpg`)
    if (!present.has(image)) return { reject: { id, code: 'missing_picture' } }
    try {
      const label = await readLabel(join(source.root, path))
      if (label >= CLASSES) return { reject: { id, code: 'no_expression' } }
      return { picture: { id, path: image, label, split: set === 'train' ? 'train' : 'val' } }
    } catch (thrown) {
      if (!(thrown instanceof FormatError)) throw thrown
      return { reject: { id, code: 'bad_annotation' } }
    }
  })
}

async function* read2017(source: Source, list: string): AsyncGenerator<Reading> {
  const split = list.includes('training') ? 'train' : 'val'
  const present = new Map(source.files.map(file => [file.path, file.path]))
  const images = list.replace(/Manually_Annotated_file_lists\/.*$/, 'Manually_Annotated/')
  for await (const row of readCsv(join(source.root, list))) {
    // Some copies of validation.csv lack the header.
    if (row[0] === 'subDirectory_filePath') continue
    const id = `affectnet:${row[0]}`
    if (row.length < COLUMNS_2017) {
      yield { reject: { id, code: 'bad_annotation' } }
      continue
    }
    const label = /^\d+$/.test(row[6]!) ? Number(row[6]) : NaN
    const [x, y, width, height] = row
      .slice(1, 5)
      .map(cell => (cell === 'NULL' ? NaN : Number(cell)))
    const path =
      present.get(`${images}Manually_Annotated_Images/${row[0]}`) ??
      present.get(`${images}${row[0]}`)
    if (!(label >= 0 && label <= 10)) yield { reject: { id, code: 'bad_annotation' } }
    else if (label >= CLASSES) yield { reject: { id, code: 'no_expression' } }
    else if (path === undefined) yield { reject: { id, code: 'missing_picture' } }
    else if (!(width! > 0 && height! > 0)) yield { reject: { id, code: 'bad_box' } }
    else yield { picture: { id, path, label, split, box: [x!, y!, x! + width!, y! + height!] } }
  }
}
