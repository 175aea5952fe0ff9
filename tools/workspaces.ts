import { existsSync, readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'

/** An Nx target as package.json writes it; what it holds is checked by its readers. */
export interface TargetJson {
  readonly cache?: unknown
  readonly command?: unknown
  readonly dependsOn?: unknown
  readonly outputs?: unknown
  readonly inputs?: unknown
  readonly options?: unknown
  readonly configurations?: unknown
  readonly defaultConfiguration?: unknown
}

/** The parts of a package.json that the checks read. */
export interface PackageJson {
  readonly name?: string
  readonly version?: string
  readonly exports?: Readonly<Record<string, string>>
  readonly dependencies?: Readonly<Record<string, string>>
  readonly optionalDependencies?: Readonly<Record<string, string>>
  readonly devDependencies?: Readonly<Record<string, string>>
  readonly peerDependencies?: Readonly<Record<string, string>>
  readonly nx?: {
    readonly name?: string
    readonly tags?: readonly string[]
    readonly targets?: Readonly<Record<string, TargetJson>>
  }
}

/** One package of the repository. */
export interface Workspace {
  /** path from the root, with forward slashes: `packages/core` */
  readonly folder: string
  /** last part of the folder: `core` */
  readonly room: string
  readonly json: PackageJson
}

/** Reads the package.json of every folder in `packages/`, and of `datasets`. */
export function readWorkspaces(root: string): Workspace[] {
  const packages = readdirSync(join(root, 'packages')).map(name => `packages/${name}`)
  return [...packages, 'datasets']
    .filter(folder => existsSync(join(root, folder, 'package.json')))
    .sort()
    .map(folder => ({
      folder,
      room: folder.slice(folder.lastIndexOf('/') + 1),
      json: JSON.parse(readFileSync(join(root, folder, 'package.json'), 'utf8')) as PackageJson,
    }))
}
