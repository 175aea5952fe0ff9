import { detectorOf, extractFace, type Detection } from '@deepfever/faces/portable'
import type { Picture } from '@deepfever/media'
import type { Reading, Student } from './student.ts'
import { openWebSession } from './web-session.ts'

/** A face with what the student says of it. */
export interface ReadFace extends Detection, Reading {
  /** 140 x 140 */
  readonly crop: Picture
}

/** Finds the faces of a picture, largest first, and reads them. */
export type ReadFaces = (picture: Picture, student: Student) => Promise<ReadFace[]>

/** Least probability of the last network, and least side in pixels, as for clips in Node. */
const GATE = { probability: 0.95, side: 40 }

/** Fetches the detector's networks and opens them. */
export async function openFaceReader(): Promise<ReadFaces> {
  const open = async <Output extends string>(name: string) =>
    openWebSession<Output>(await fetchBytes(`models/${name}.onnx`))
  const detect = detectorOf({
    pnet: await open<'cells'>('pnet'),
    rnet: await open<'regression' | 'probability'>('rnet'),
    onet: await open<'regression' | 'probability' | 'landmarks'>('onet'),
  })
  return async (picture, student) => {
    const faces: ReadFace[] = []
    for (const found of await detect(picture)) {
      const [x1, y1, x2, y2] = found.box
      if (found.probability < GATE.probability) continue
      if (Math.min(x2! - x1!, y2! - y1!) < GATE.side) continue
      const crop = extractFace(picture, found.box)
      faces.push({ ...found, crop, ...(await student.read(crop)) })
    }
    return faces
  }
}

/** A file of this site. */
export async function fetchBytes(path: string): Promise<Uint8Array> {
  const answer = await fetch(path)
  if (!answer.ok) throw new Error(`${path}: the server answers ${answer.status}, wanted the file`)
  return new Uint8Array(await answer.arrayBuffer())
}
