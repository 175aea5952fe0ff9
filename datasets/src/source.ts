import { StageError, UsageError, type Log } from '@deepfever/core'
import { openArtifact } from '@deepfever/formats'
import { decodeIndex, digestOf, indexFolder, type SourceFile } from './raw-index.ts'

/** What is kept under a raw folder, each in a folder of its name unless a path says otherwise. */
export const corpora = ['videos', 'affectnet', 'fec', 'rafdb'] as const
/** One of {@link corpora}. */
export type Corpus = (typeof corpora)[number]

/** A raw folder with its files and their digests. */
export interface Source {
  readonly root: string
  readonly files: readonly SourceFile[]
  /** of paths, sizes and contents: names the data to every later stage */
  readonly digest: string
}

/** Where an index artifact found each corpus. */
export type Roots = Readonly<Partial<Record<Corpus, string>>>

/** File name of a corpus inside an index artifact. */
export const indexFile = (corpus: Corpus): string => `${corpus}/index.json`

/**
 * Opens raw data, given either as a folder or through an index made before.
 *
 * @throws UsageError unless exactly one of `source` and `index` is given
 * @param corpus `folder` stands for any folder; an index has none
 * @throws StageError when the corpus is not where it should be, with what to do
 */
export async function openSource(
  { source, index, corpus }: { source: string; index: string; corpus: Corpus | 'folder' },
  log: Log,
): Promise<Source> {
  if ((source === '') === (index === ''))
    throw new UsageError(`give one of --source and --index: ${source ? 'both' : 'none'} given`, {})
  if (source) {
    const { files, refused } = await indexFolder(source, [], log)
    if (refused.length > 0)
      log.warn('left out: links out of the folder, or no files', {
        count: refused.length,
        example: refused[0],
      })
    return { root: source, files, digest: digestOf(files) }
  }
  if (corpus === 'folder')
    throw new UsageError(`an index knows ${corpora.join(', ')}; give the folder by --source`, {})
  const artifact = await openArtifact(index, 'index')
  const root = (artifact.manifest.metadata.roots as Roots)[corpus]
  if (root === undefined)
    throw new StageError(
      `${corpus}: no such folder was found by ${index}; put the data into datasets/raw/${corpus}, ` +
        `or its path into datasets/paths.json as {"${corpus}": "/path/to/it"}, ` +
        'then: npx nx run datasets:index',
      { corpus },
    )
  const place = indexFile(corpus)
  const files = decodeIndex(await artifact.file(place), `${index}/${place}`)
  return { root, files, digest: digestOf(files) }
}
