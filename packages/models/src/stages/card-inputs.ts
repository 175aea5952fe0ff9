import { readFile } from 'node:fs/promises'
import { basename } from 'node:path'
import { StageError, uniforms } from '@deepfever/core'
import { faces, openArtifact, sha256 } from '@deepfever/formats'
import { openCropDecoder } from '@deepfever/media'
import type { CardScore } from '../model-card.ts'

type StoredReport = Omit<CardScore, 'form'> & {
  readonly extractor: string
  readonly digests: Readonly<Record<string, string>>
}

/**
 * The scores of report artifacts.
 *
 * @param digest of the checkpoint that is exported
 * @param files the exported bytes by name
 * @throws StageError when a report judged another model
 */
export async function readScores(
  places: readonly string[],
  digest: string,
  files: ReadonlyMap<string, Uint8Array>,
): Promise<CardScore[]> {
  const names = new Map([...files].map(([name, bytes]) => [sha256(bytes), name]))
  return Promise.all(
    places.map(async place => {
      const artifact = await openArtifact(place, 'report')
      const json = Buffer.from(await artifact.file('report.json')).toString()
      const { extractor, digests, ...report } = JSON.parse(json) as StoredReport
      const own = digests['checkpoint'] === digest
      const judged = own ? 'checkpoint' : await nameOf(extractor, digests, names)
      if (judged === undefined)
        throw new StageError(
          `${place}: judged ${extractor}, wanted the checkpoint ${digest.slice(0, 12)} or a file exported from it; ` +
            'give reports of this model in --reports',
          { place, found: digests['checkpoint'] ?? extractor, wanted: digest },
        )
      return { ...report, form: judged }
    }),
  )
}

/** The name of the exported file that a report judged; undefined where it was none of them. */
async function nameOf(
  extractor: string,
  digests: StoredReport['digests'],
  names: ReadonlyMap<string, string>,
): Promise<string | undefined> {
  if (digests['onnx'] === undefined) return undefined
  const bytes = await readFile(extractor).catch(() => undefined)
  return bytes && names.get(sha256(bytes))
}

const CROPS = 64

/** Crops to measure on: the first of a faces artifact, or drawn noise where there is none. */
export async function readCrops(
  place: string,
  side: number,
): Promise<{ crops: Uint8Array[]; of: string }> {
  if (place === '') {
    const draw = (_: unknown, i: number) =>
      Uint8Array.from(uniforms(`crop ${i}`, 3 * side * side), u => 127.5 * (1 + u))
    return { crops: Array.from({ length: CROPS }, draw), of: 'uniform noise, not faces' }
  }
  const artifact = await openArtifact(place, 'faces')
  const decode = await openCropDecoder()
  const crops: Uint8Array[] = []
  for await (const { crop } of artifact.rows(faces)) {
    crops.push((await decode(crop, side)).data.slice())
    if (crops.length === CROPS) break
  }
  if (crops.length === 0)
    throw new StageError(`${place}: holds no face, wanted at least one to measure on`, { place })
  return { crops, of: `the first faces of ${basename(place)}, ${artifact.digest.slice(0, 12)}` }
}
