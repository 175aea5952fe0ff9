import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { FormatError, StageError, mapOrdered } from '@deepfever/core'
import { decodeNpy } from '@deepfever/formats'
import { isGarbled, leavesFolder, readList } from './annotation-list.ts'
import type { Reading } from './labelled.ts'
import type { Source } from './source.ts'

/** Labels above are None, Uncertain and Non-Face: pictures without an expression class. */
const CLASSES = 8
const CONTEMPT = 7
const ANNOTATION = /^(?:.*\/)?(train|val)_set\/annotations\/([^/]+)_exp\.npy$/
const LIST = /^(?:.*\/)?Manually_Annotated_file_lists\/(training|validation)\.csv$/
const COLUMNS_2017 = 9
/** 68 points. */
const LANDMARK_VALUES = 136

/** Which of AffectNet's two layouts a folder has; undefined for neither. */
export function affectNetReleaseOf({ files }: Source): 'newer' | '2017' | undefined {
  if (files.some(file => ANNOTATION.test(file.path))) return 'newer'
  return files.some(file => LIST.test(file.path)) ? '2017' : undefined
}

/** Whether a class counts under AffectNet's protocol of 8 classes, or of 7: without contempt. */
export const inAffectNetProtocol = (label: number, classes: 7 | 8): boolean =>
  label >= 0 && label < CLASSES && (classes === 8 || label !== CONTEMPT)

/**
 * AffectNet, either release: the 2017 one (CSV lists) or the newer one (a picture and .npy files a
 * face). Valence, arousal and landmarks are carried along where they are sound.
 *
 * @throws StageError when the folder has neither layout
 */
export async function* readAffectNet(source: Source): AsyncGenerator<Reading> {
  const release = affectNetReleaseOf(source)
  if (release === undefined)
    throw new StageError(
      `${source.root}: no AffectNet here: found neither train_set/annotations/*_exp.npy nor ` +
        'Manually_Annotated_file_lists/training.csv',
      { root: source.root },
    )
  const paths = source.files.map(file => file.path)
  if (release === 'newer')
    yield* readNewer(
      source,
      paths.filter(path => ANNOTATION.test(path)),
    )
  else yield* withoutRepeats(read2017(source, paths))
}

async function* read2017(source: Source, paths: readonly string[]): AsyncGenerator<Reading> {
  const present = new Set(paths)
  // Validation first: of a picture in both lists the one in training is turned away.
  const lists = paths.filter(path => LIST.test(path)).sort()
  for (const path of lists.reverse()) yield* readRows(source, path, present)
}

/** A picture listed twice, or in both lists, would stand on both sides of a split. */
async function* withoutRepeats(readings: AsyncIterable<Reading>): AsyncGenerator<Reading> {
  const seen = new Set<string>()
  for await (const reading of readings) {
    const id = 'picture' in reading ? reading.picture.id : undefined
    if (id !== undefined && seen.has(id)) yield { reject: { id, code: 'repeated_entry' } }
    else yield reading
    if (id !== undefined) seen.add(id)
  }
}

/** The values of an .npy file as numbers: whole, float, or text as the release has it. */
async function readNumbers(place: string): Promise<number[]> {
  const { values } = decodeNpy(await readFile(place), place)
  // Number('') is 0, a class.
  return Array.from(values as ArrayLike<number | string | bigint>, value =>
    String(value).trim() === '' ? NaN : Number(value),
  )
}

async function readLabel(place: string): Promise<number> {
  const values = await readNumbers(place)
  const label = values.length === 1 ? values[0]! : NaN
  if (Number.isInteger(label) && label >= 0 && label <= 10) return label
  throw new FormatError(`${place}: found ${String(values[0])}, wanted one label 0 to 10`, { place })
}

/** -2 stands for none. */
const isAffect = (value: number | undefined): value is number =>
  value !== undefined && value >= -1 && value <= 1

/** What accompanies a class; a value that is absent or unsound is left out, not the picture. */
const affectOf = (
  valence: number | undefined,
  arousal: number | undefined,
  landmarks: readonly number[],
) => ({
  ...(isAffect(valence) && { valence }),
  ...(isAffect(arousal) && { arousal }),
  ...(landmarks.length === LANDMARK_VALUES && landmarks.every(Number.isFinite) && { landmarks }),
})

async function* readNewer(source: Source, annotations: string[]): AsyncGenerator<Reading> {
  const present = new Set(source.files.map(file => file.path))
  yield* mapOrdered(annotations, 16, async (path): Promise<Reading> => {
    const [, set, name] = ANNOTATION.exec(path)!
    const id = `affectnet:${set}/${name}`
    const image = path.replace(/annotations\/[^/]+$/, `images/${name}.jpg`)
    const split = set === 'train' ? 'train' : 'val'
    const beside = async (what: string): Promise<number[]> => {
      const file = path.replace(/_exp\.npy$/, `_${what}.npy`)
      if (!present.has(file)) return []
      return readNumbers(join(source.root, file)).catch((thrown: unknown) => {
        if (thrown instanceof FormatError) return []
        throw thrown
      })
    }
    try {
      const label = await readLabel(join(source.root, path))
      if (label >= CLASSES) return { reject: { id, code: 'no_expression' } }
      if (!present.has(image)) return { reject: { id, code: 'missing_picture', label, split } }
      const [[valence], [arousal], landmarks] = await Promise.all([
        beside('val'),
        beside('aro'),
        beside('lnd'),
      ])
      const affect = affectOf(valence, arousal, landmarks)
      return { picture: { id, path: image, label, split, ...affect } }
    } catch (thrown) {
      if (!(thrown instanceof FormatError)) throw thrown
      return { reject: { id, code: 'bad_annotation' } }
    }
  })
}

/** `NULL` and the empty cell are no number. */
const toNumber = (cell: string): number =>
  cell === 'NULL' || cell.trim() === '' ? NaN : Number(cell)

async function* readRows(
  source: Source,
  list: string,
  present: ReadonlySet<string>,
): AsyncGenerator<Reading> {
  const split = list.endsWith('training.csv') ? 'train' : 'val'
  const images = list.replace(/Manually_Annotated_file_lists\/.*$/, 'Manually_Annotated/')
  for await (const row of readList(join(source.root, list))) {
    // Some copies of validation.csv lack the header.
    if (row[0] === 'subDirectory_filePath') continue
    const name = row[0]!
    const id = `affectnet:${name}`
    const code = rowFault(row)
    if (code !== undefined) {
      yield { reject: { id, code } }
      continue
    }
    const [x, y, width, height] = row.slice(1, 5).map(toNumber) as [number, number, number, number]
    const path = [`${images}Manually_Annotated_Images/${name}`, `${images}${name}`].find(place =>
      present.has(place),
    )
    const label = Number(row[6])
    if (path === undefined) yield { reject: { id, code: 'missing_picture', label, split } }
    else if (!(width > 0 && height > 0 && Number.isFinite(x + y + width + height)))
      yield { reject: { id, code: 'bad_box', label, split } }
    else {
      const affect = affectOf(
        toNumber(row[7]!),
        toNumber(row[8]!),
        row[5]!.split(';').map(toNumber),
      )
      const box = [x, y, x + width, y + height] as const
      yield { picture: { id, path, label, split, box, ...affect } }
    }
  }
}

/** Why a row of the 2017 lists cannot be used, whatever lies on disk. */
function rowFault(row: readonly string[]): string | undefined {
  if (isGarbled(row)) return 'bad_encoding'
  if (row.length < COLUMNS_2017) return 'bad_annotation'
  if (leavesFolder(row[0]!)) return 'path_outside'
  const label = /^\d+$/.test(row[6]!) ? Number(row[6]) : NaN
  if (!(label <= 10)) return 'bad_annotation'
  return label >= CLASSES ? 'no_expression' : undefined
}
