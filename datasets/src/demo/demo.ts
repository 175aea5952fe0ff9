import { mkdir, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { openRandom } from '@deepfever/core'
import type { Log } from '@deepfever/core'
import type { Ffmpeg } from '@deepfever/media'
import { drawAffectNet } from './affectnet-set.ts'
import { drawClips } from './clips.ts'
import { smokeSizes } from './demo-file.ts'
import type { DemoFile, DemoSizes } from './demo-file.ts'
import { drawFec } from './fec-set.ts'
import { drawRafDb } from './rafdb-set.ts'
import { drawNoise } from './scene.ts'

/** What the demonstration data are drawn from. */
export interface DemoOptions {
  readonly seed: number
  readonly sizes?: DemoSizes
  readonly ffmpeg?: Ffmpeg
}

/**
 * Every file of the demonstration data, in a fixed order: clips and the three labelled sets in
 * their corpora's layouts (`videos`, `affectnet`, `rafdb`, `fec`). Same seed, sizes and tools: same
 * bytes.
 */
export async function* demoFiles({
  seed,
  sizes = smokeSizes,
  ffmpeg,
}: DemoOptions): AsyncGenerator<DemoFile> {
  const noise = drawNoise(openRandom(`${seed}/noise`))
  yield* drawClips(ffmpeg)
  yield* drawAffectNet(seed, { train: sizes.affectnetTrain, val: sizes.affectnetVal }, noise)
  yield* drawRafDb(seed, { train: sizes.rafdbTrain, test: sizes.rafdbTest }, noise)
  yield* drawFec(
    seed,
    { photos: sizes.fecPhotos, train: sizes.fecTrain, test: sizes.fecTest },
    noise,
  )
}

/** Writes the demonstration data below `out`; returns how many files and bytes. */
export async function drawDemo({
  out,
  log,
  ...options
}: DemoOptions & { readonly out: string; readonly log: Log }): Promise<{
  files: number
  bytes: number
}> {
  const progress = log.progress('draw')
  let files = 0
  let bytes = 0
  const folders = new Set<string>()
  for await (const file of demoFiles(options)) {
    const place = join(out, file.path)
    const folder = dirname(place)
    if (!folders.has(folder)) await mkdir(folder, { recursive: true })
    folders.add(folder)
    await writeFile(place, file.bytes)
    files++
    bytes += file.bytes.length
    progress.advance()
  }
  progress.done()
  log.event('demo', { out, files, bytes })
  return { files, bytes }
}
