import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

import type { Device } from './wheels.ts'

/** What a finished build says of itself. */
export interface NativeStamp {
  /** everything that the build depends on; another digest means: build again */
  readonly key: string
  readonly device: Device
  /** TensorFlow's own word for its version */
  readonly tensorflow: string
}

/** File in a build's folder that says it is whole. */
export const STAMP = 'native.json'

/** Where builds lie: DEEPFEVER_NATIVE, or `.native` beside the packages; `npm ci` leaves it alone. */
export const nativeFolder = (): string =>
  process.env.DEEPFEVER_NATIVE || fileURLToPath(new URL('../../../../.native', import.meta.url))

/** The folder of one device's build. */
export const buildFolder = (device: Device): string => join(nativeFolder(), device)

/** The binary of a build, which Node loads. */
export const addonPath = (device: Device): string => join(buildFolder(device), 'tfjs_binding.node')

/** The command that makes a build. */
export const buildCommand = (device: Device): string =>
  `npx nx run runtime:native${device === 'cuda' ? ' --cuda' : ''}`

/** The stamp of a finished build; undefined when there is none. */
export function readStamp(device: Device): NativeStamp | undefined {
  try {
    const text = readFileSync(join(buildFolder(device), STAMP), 'utf8')
    return existsSync(addonPath(device)) ? (JSON.parse(text) as NativeStamp) : undefined
  } catch {
    return undefined
  }
}

/** Why the native backend does not open, with the command that builds it; undefined where it does. */
export const nativeMissing = (device: Device = 'cpu'): string | undefined =>
  readStamp(device)
    ? undefined
    : `the native backend for ${device} is not built; build it with: ${buildCommand(device)}`
