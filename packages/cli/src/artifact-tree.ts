import { readFile, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { openArtifact, readManifest, type Artifact } from '@deepfever/formats'

/** A model that `models export` wrote, as the contract beside it says. */
interface ExportedModel {
  readonly path: string
  /** digest of the checkpoint artifact that it was made from */
  readonly checkpoint: string
}

/** What stands below a folder: artifacts, work folders of unfinished runs, exported models, files. */
export interface ArtifactTree {
  readonly artifacts: readonly Artifact[]
  readonly workFolders: readonly string[]
  readonly exports: readonly ExportedModel[]
  /** files that belong to no artifact and no work folder */
  readonly files: readonly string[]
}

const CONTRACT = 'contract.json'

/** The model beside a contract; none where it is another program's. */
async function readExport(folder: string): Promise<ExportedModel[]> {
  try {
    const json = await readFile(join(folder, CONTRACT), 'utf8')
    const { file, checkpoint } = JSON.parse(json) as Record<string, unknown>
    if (typeof file === 'string' && typeof checkpoint === 'string')
      return [{ path: join(folder, file), checkpoint }]
  } catch {
    // not JSON, or not readable: no contract of ours
  }
  return []
}

/** Finds all of them below `root`; nothing inside an artifact or work folder is looked at. */
export async function findArtifacts(root: string): Promise<ArtifactTree> {
  const artifacts: Artifact[] = []
  const workFolders: string[] = []
  const exports: ExportedModel[] = []
  const files: string[] = []
  const visit = async (folder: string): Promise<void> => {
    const found = await readManifest(folder)
    if (found) artifacts.push(await openArtifact(folder, found.manifest.kind))
    else
      for (const entry of await readdir(folder, { withFileTypes: true })) {
        const place = join(folder, entry.name)
        if (entry.name === CONTRACT) exports.push(...(await readExport(folder)))
        else if (entry.isFile()) files.push(place)
        else if (entry.isDirectory() && entry.name.endsWith('.work')) workFolders.push(place)
        else if (entry.isDirectory()) await visit(place)
      }
  }
  await visit(root)
  return { artifacts, workFolders, exports, files }
}

/** Stages that make pages and lists of faces which no table of theirs tells. */
const PAGES = ['gallery', 'hashes']

/** Pages of faces that stand no more, or in another form: what they show cannot be told. */
export function stalePagesOf(artifacts: readonly Artifact[]): readonly Artifact[] {
  return artifacts.filter(
    ({ manifest: { kind, inputs } }) =>
      PAGES.includes(kind) &&
      inputs.some(({ role, digest }) => role === 'faces' && !isThere(artifacts, digest)),
  )
}

/** The inputs of a checkpoint that stand no more, its start weights apart, by role. */
export const lostInputsOf = ({ manifest }: Artifact, artifacts: readonly Artifact[]): string[] =>
  manifest.inputs
    .filter(({ role, digest }) => role !== 'weights' && !isThere(artifacts, digest))
    .map(({ role }) => role)

const isThere = (artifacts: readonly Artifact[], digest: string): boolean =>
  artifacts.some(artifact => artifact.digest === digest)

/** The artifacts made from one of `digests`, or from one made from it, and so on. */
export function descendantsOf(
  artifacts: readonly Artifact[],
  digests: ReadonlySet<string>,
): readonly Artifact[] {
  const from = new Set(digests)
  const found = new Set<Artifact>()
  for (let before = -1; before < found.size;) {
    before = found.size
    for (const artifact of artifacts)
      if (artifact.manifest.inputs.some(({ digest }) => from.has(digest))) {
        from.add(artifact.digest)
        found.add(artifact)
      }
  }
  return [...found]
}
