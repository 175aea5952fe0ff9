import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { openDetector } from '@deepfever/faces'
import type { Detection } from '@deepfever/faces'
import { readPicture } from '@deepfever/media'
import { numberRow } from './row.ts'
import type { VerifyRow } from './row.ts'

type Reference = Readonly<
  Record<
    string,
    {
      size: readonly [number, number]
      faces: readonly {
        box: readonly number[]
        probability: number
        landmarks: readonly (readonly number[])[]
      }[]
    }
  >
>

const PIXELS = 1
const PROBABILITY = 2e-3

/**
 * Detects the faces of the pictures that `reference` names under `data`; a row each for their count
 * and for the worst box side, probability and landmark of a picture.
 */
export async function verifyMtcnn(
  reference: string,
  { data }: { data: string },
): Promise<VerifyRow[]> {
  const pictures = JSON.parse(await readFile(reference, 'utf8')) as unknown as Reference
  const detector = await openDetector()
  const rows: VerifyRow[] = []
  for (const [name, { faces }] of Object.entries(pictures)) {
    // The reference lists faces by falling probability, the detector by falling area.
    const wanted = [...faces].sort((a, b) => areaOf(b.box) - areaOf(a.box))
    // As PIL: the EXIF orientation is left alone.
    const picture = await readPicture(join(data, name), { upright: false })
    const found = await detector.detect(picture)
    rows.push(numberRow(`${name} faces`, found.length, wanted.length, 0))
    if (found.length !== wanted.length) continue
    const largest = (side: (face: Detection, i: number) => number) =>
      Math.max(0, ...found.map(side))
    rows.push(
      numberRow(
        `${name} boxes`,
        largest((face, i) => worst(face.box, wanted[i]!.box)),
        0,
        PIXELS,
      ),
      numberRow(
        `${name} probabilities`,
        largest((face, i) => Math.abs(face.probability - wanted[i]!.probability)),
        0,
        PROBABILITY,
      ),
      numberRow(
        `${name} landmarks`,
        largest((face, i) => worst(face.landmarks, wanted[i]!.landmarks.flat())),
        0,
        PIXELS,
      ),
    )
  }
  await detector.close()
  return rows
}

const areaOf = (box: readonly number[]): number => (box[2]! - box[0]!) * (box[3]! - box[1]!)

const worst = (found: Float32Array, wanted: readonly number[]): number =>
  wanted.reduce((max, value, i) => Math.max(max, Math.abs(found[i]! - value)), 0)
