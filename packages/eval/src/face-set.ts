import { basename, join } from 'node:path'
import { UsageError, openRandom, type Log } from '@deepfever/core'
import { openSource, readClassFolders } from '@deepfever/datasets'
import {
  faces,
  openArtifact,
  unstatedTerms,
  type Artifact,
  type Face,
  type Terms,
} from '@deepfever/formats'
import { decodeCrop, readPicture, resizePicture, type Picture } from '@deepfever/media'

/** A face to be judged, its picture not yet decoded. */
export interface FaceEntry {
  readonly faceId: string
  readonly label: number
  readonly split: string
  /** path of the clip or picture below its source folder */
  readonly source: string
  /** @throws PictureError with a code when it cannot be decoded */
  picture(side: number): Promise<Picture>
}

/** Faces of one corpus, in a fixed order. */
export interface FaceSet {
  readonly place: string
  /** names the data */
  readonly digest: string
  /** under which its pictures may be used */
  readonly terms: readonly Terms[]
  readonly total: number
  /** names in label order, where the data says them */
  readonly classes: readonly string[] | undefined
  /** entries that gave no face, by split and label */
  readonly lost: Readonly<Record<string, readonly number[]>>
  rows(): AsyncGenerator<FaceEntry>
}

/**
 * Opens a faces artifact.
 *
 * @param parting what parts faces that are all of split `test`; they stay so where it is left out
 */
export async function openFaces(
  path: string,
  parting?: GroupParting,
): Promise<FaceSet & { readonly artifact: Artifact }> {
  const artifact = await openArtifact(path, 'faces')
  const splitOf = parting ? await partFaces(artifact, parting) : ({ split }: Face) => split
  const { tables, metadata, terms } = artifact.manifest
  return {
    place: path,
    artifact,
    digest: artifact.digest,
    terms,
    total: tables[faces.name]?.rows ?? 0,
    classes: metadata['classes'] as string[] | undefined,
    lost: (metadata['lost'] ?? {}) as Record<string, number[]>,
    async *rows() {
      for await (const face of artifact.rows(faces)) {
        const { faceId, label, source, crop } = face
        const split = splitOf(face)
        yield { faceId, label, split, source, picture: side => decodeCrop(crop, side) }
      }
    },
  }
}

/** How pictures of a folder without splits are parted. */
export interface GroupParting {
  /** pattern in file names that tells who is shown; its first group, or the match, names them */
  readonly group: string
  /** share of the groups that trains */
  readonly trainShare: number
  readonly seed: string
}

/**
 * Opens pictures in folders named after their classes, each whole picture one face. Without splits,
 * whole groups (people) fall to one side.
 *
 * @throws UsageError when the pattern is none, or does not meet a file's name
 */
export async function openFolder(place: string, parting: GroupParting, log: Log): Promise<FaceSet> {
  const source = await openSource({ source: place, index: '', corpus: 'folder' }, log)
  const { classes, readings } = readClassFolders(source)
  const pictures = readings.flatMap(reading => ('picture' in reading ? [reading.picture] : []))
  const parted = pictures.some(({ split }) => split === 'train')
  const splitOf = parted ? undefined : partBy(pictures, parting)
  return {
    place,
    digest: source.digest,
    terms: [unstatedTerms],
    total: pictures.length,
    classes,
    lost: {},
    async *rows() {
      for (const picture of pictures)
        yield Promise.resolve({
          faceId: picture.id,
          label: picture.label,
          split: splitOf?.(picture.id) ?? picture.split,
          source: picture.path,
          picture: async (side: number) =>
            resizePicture(await readPicture(join(source.root, picture.path)), side, side, 'linear'),
        })
    },
  }
}

interface Named {
  readonly id: string
  readonly path: string
}

async function partFaces(
  artifact: Artifact,
  parting: GroupParting,
): Promise<(face: Face) => string> {
  const named: Named[] = []
  for await (const { faceId: id, source: path, split } of artifact.rows(faces)) {
    if (split === 'train') return face => face.split
    named.push({ id, path })
  }
  const splitOf = partBy(named, parting)
  return ({ faceId }) => splitOf(faceId)
}

/** Whole groups fall to one side, in an order that the seed alone decides. */
function partBy(pictures: readonly Named[], { group, trainShare, seed }: GroupParting) {
  const groups = pictures.map(({ path }) => groupOf(path, group))
  const names = openRandom(`${seed}/parts`).shuffle([...new Set(groups)].sort())
  const training = new Set(names.slice(0, Math.round(trainShare * names.length)))
  const byId = new Map(pictures.map(({ id }, i) => [id, training.has(groups[i]!)]))
  return (id: string) => (byId.get(id) === true ? 'train' : 'test')
}

function groupOf(path: string, group: string): string {
  if (group === '') return path
  let match: RegExpExecArray | null
  try {
    match = new RegExp(group).exec(basename(path))
  } catch (thrown) {
    throw new UsageError(`--group: ${group} is no regular expression`, { found: group }, thrown)
  }
  if (match === null)
    throw new UsageError(
      `--group: ${group} does not meet ${basename(path)}; wanted a pattern that is in every name`,
      { found: path, wanted: group },
    )
  return match[1] ?? match[0]
}
