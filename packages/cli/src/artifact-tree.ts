import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { openArtifact, readManifest, type Artifact } from '@deepfever/formats'

/** What stands below a folder: artifacts by place, and the work folders of unfinished runs. */
export interface ArtifactTree {
  readonly artifacts: readonly Artifact[]
  readonly workFolders: readonly string[]
}

/** Finds all artifacts and work folders below `root`; nothing inside one is looked at. */
export async function findArtifacts(root: string): Promise<ArtifactTree> {
  const artifacts: Artifact[] = []
  const workFolders: string[] = []
  const visit = async (folder: string): Promise<void> => {
    const found = await readManifest(folder)
    if (found) artifacts.push(await openArtifact(folder, found.manifest.kind))
    else
      for (const entry of await readdir(folder, { withFileTypes: true }))
        if (entry.isDirectory()) {
          const place = join(folder, entry.name)
          if (entry.name.endsWith('.work')) workFolders.push(place)
          else await visit(place)
        }
  }
  await visit(root)
  return { artifacts, workFolders }
}

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
