import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { StageError, type Part, type Scalar } from '@deepfever/core'
import { openArtifact, type Artifact } from './artifact.ts'
import { sha256, unionOfTerms, type InputEntry, type Reject, type Terms } from './manifest.ts'
import { clips, type ClipRow } from './tables.ts'

/** Where part `index` of `count` of the artifact `path` is written; all of it for a single one. */
export const partPath = (path: string, part: Part | undefined): string =>
  part ? join(`${path.replace(/\/+$/, '')}.parts`, `${part.index}-of-${part.count}`) : path

/** All parts of one artifact, in order, and what they have in common. */
export interface Parts {
  readonly artifacts: readonly Artifact[]
  readonly stage: string
  readonly behaviour: number
  /** the options they were made with, the division left out */
  readonly identity: Readonly<Record<string, Scalar>>
  /** the clips they hold; no input tells how they were divided */
  readonly inputs: readonly InputEntry[]
  readonly terms: readonly Terms[]
  readonly clips: readonly ClipRow[]
  readonly inputCount: number
  readonly outputCount: number
  /** the first example of each code, in the order of the clips */
  readonly rejects: Readonly<Record<string, Reject>>
}

const numbersOf = (name: string): Part | undefined => {
  const found = /^(\d+)-of-(\d+)$/.exec(name)
  return found ? { index: Number(found[1]), count: Number(found[2]) } : undefined
}

/**
 * Opens the parts in `folder` (`1-of-3`, `2-of-3`, …).
 *
 * @throws StageError when one is missing, or they were not made in one way from one source
 */
export async function openParts(folder: string, kind: string): Promise<Parts> {
  const names = await readdir(folder).catch((thrown: unknown) => {
    throw new StageError(
      `${folder}: no such folder; wanted parts, made with --shard=i/n`,
      {},
      thrown,
    )
  })
  const parts = names
    .flatMap(name => numbersOf(name) ?? [])
    .sort((a, b) => a.count - b.count || a.index - b.index)
  const count = parts.at(-1)?.count ?? 0
  const wanted = Array.from({ length: count }, (_, i) => i + 1)
  const missing = wanted.filter(index => !parts.some(p => p.count === count && p.index === index))
  const foreign = parts.filter(part => part.count !== count)
  if (count === 0 || missing.length > 0 || foreign.length > 0)
    throw new StageError(
      `${folder}: found ${parts.length - foreign.length} of ${count} parts` +
        (missing.length > 0 ? `, missing ${missing.slice(0, 20).join(', ')}` : '') +
        (foreign.length > 0 ? `, and ${foreign.length} of another division: remove them` : '') +
        (missing.length > 0 ? '; run the same command with --shard=i/n for each' : ''),
      { folder, count, missing },
    )
  const artifacts: Artifact[] = []
  for (const index of wanted)
    artifacts.push(await openArtifact(join(folder, `${index}-of-${count}`), kind))
  return joinManifests(artifacts)
}

async function joinManifests(artifacts: readonly Artifact[]): Promise<Parts> {
  const [first, ...others] = artifacts as readonly [Artifact, ...Artifact[]]
  const recipeOf = ({ manifest: { stage, behaviour, identity } }: Artifact) => {
    const { shard, ...rest } = identity
    void shard
    return { stage, behaviour, identity: rest }
  }
  const recipe = recipeOf(first)
  for (const other of others)
    if (JSON.stringify(recipeOf(other)) !== JSON.stringify(recipe))
      throw new StageError(
        `${other.path}: made with other options than ${first.path}; make all parts with one command`,
        { found: recipeOf(other), wanted: recipe },
      )
  const rows: ClipRow[] = []
  const rejects: Record<string, { count: number; example: string }> = {}
  for (const { manifest, ...artifact } of artifacts) {
    if (manifest.tables.clips) for await (const row of artifact.rows(clips)) rows.push(row)
    for (const [code, { count, example }] of Object.entries(manifest.ledger.rejects))
      (rejects[code] ??= { count: 0, example }).count += count
  }
  const common = first.manifest.inputs.filter(({ role, digest }) =>
    others.every(({ manifest }) =>
      manifest.inputs.some(input => input.role === role && input.digest === digest),
    ),
  )
  const listed = sha256(rows.map(row => JSON.stringify(row)).join('\n'))
  const sum = (of: 'inputs' | 'outputs') =>
    artifacts.reduce((total, { manifest }) => total + manifest.ledger[of], 0)
  return {
    ...recipe,
    artifacts,
    // With one part its frames are common too: only what is so for any division may enter.
    inputs: [
      ...common.filter(({ role }) => role !== 'frames'),
      { role: 'listed clips', digest: listed },
    ],
    terms: unionOfTerms(artifacts.flatMap(({ manifest }) => manifest.terms)),
    clips: rows,
    inputCount: sum('inputs'),
    outputCount: sum('outputs'),
    rejects,
  }
}
