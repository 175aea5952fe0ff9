import { join } from 'node:path'
import { openRandom, silentLog } from '@deepfever/core'
import { faces, targets, triplets, writeArtifact } from '@deepfever/formats'
import { encodeJpeg } from '@deepfever/media'

/** Side of the drawn crops. */
export const SIZE = 32
/** Width of the drawn targets. */
export const TARGET_WIDTH = 6

/** An artifact without a stage behind it. */
export const spec = (out: string, kind: string) => ({
  ...{ out, kind, stage: `draw ${kind}`, behaviour: 1, identity: {}, inputs: [] },
})

/** Brightness falls from left to right, so that a mirrored crop shows. */
async function drawCrop(name: string): Promise<Uint8Array> {
  const random = openRandom(name)
  const tint = [0, 1, 2].map(() => 60 + random.below(60))
  const data = Uint8Array.from({ length: SIZE * SIZE * 3 }, (_, i) => {
    const x = Math.floor(i / 3) % SIZE
    return tint[i % 3]! + 4 * (SIZE - x) - random.below(8)
  })
  return encodeJpeg({ width: SIZE, height: SIZE, data })
}

/** How many faces, which triplets, which labels. */
export interface Drawn {
  readonly train: number
  readonly test?: number
  readonly rows?: readonly (readonly [number, number, number])[]
  readonly labels?: number
  readonly split?: 'train' | 'test'
}

/** A faces artifact with faces `<name>-<i>`, the test faces last, and triplets of their numbers. */
export async function drawFaces(
  out: string,
  { train, test = 0, rows = [], labels = 0, split = 'train' }: Drawn,
) {
  const name = out.split('/').at(-1)!
  const terms = [{ licence: `of ${name}`, consent: 'none needed', contact: '' }]
  await writeArtifact({ ...spec(out, 'faces'), terms }, silentLog, async write => {
    for (let i = 0; i < train + test; i++) {
      const faceId = `${name}-${i}`
      await write.append(faces, {
        ...{ faceId, frameId: faceId, source: faceId, probability: 1, cropKind: 'given' },
        ...{ box: new Float32Array(4), landmarks: new Float32Array(10) },
        ...{ label: labels ? i % labels : -1, split: i < train ? 'train' : 'test' },
        crop: await drawCrop(faceId),
      })
      write.accept()
      await write.done(faceId)
    }
    for (const [i, row] of rows.entries()) {
      const [first, second, third] = row.map(n => `${name}-${n}`) as [string, string, string]
      const vote = { odd: i % 3, kind: 'TWO_CLASS_TRIPLET', votesFor: 6, votesTotal: 6 }
      const tripletId = `${name}:train-${i}`
      await write.append(triplets, { tripletId, first, second, third, ...vote, split })
    }
  })
  return out
}

/** Random targets of both views, half of each by one teacher. */
export async function drawTargets(out: string, ids: readonly string[], width = TARGET_WIDTH) {
  await writeArtifact(spec(out, 'targets'), silentLog, async write => {
    const half = width / 2
    const blocks = ['a', 'b'].map((teacher, i) => ({ teacher, start: i * half, width: half }))
    write.describe({ blocks, width })
    for (const faceId of ids)
      for (const view of ['plain', 'flipped']) {
        const random = openRandom(`${faceId}/${view}`)
        const target = Float32Array.from({ length: width }, () => random.normal())
        await write.append(targets, { faceId, view, target })
      }
  })
  return out
}

const idsOf = (name: string, count: number) =>
  Array.from({ length: count }, (_, i) => `${name}-${i}`)

/** Everything a student learns from, twelve triplets; its options by name. */
export async function drawRunInputs(dir: string) {
  const rows = Array.from({ length: 12 }, (_, i) => [i, i + 1, i + 2] as const)
  const ids = [...idsOf('fec', 14), ...idsOf('affectnet', 24), ...idsOf('powder', 7)]
  return {
    fec: await drawFaces(join(dir, 'fec'), { train: 14, rows }),
    affectnet: await drawFaces(join(dir, 'affectnet'), { train: 24, labels: 8 }),
    powder: await drawFaces(join(dir, 'powder'), { train: 7 }),
    targets: await drawTargets(join(dir, 'targets'), ids),
  }
}
