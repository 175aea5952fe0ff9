// tap: test/batches.test.ts covers src/order.ts, src/batches.ts, src/crop-loading.ts, src/face-ids.ts, src/face-table.ts, src/triplet-table.ts, src/target-file.ts, src/training-data.ts
import { readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { silentLog } from '@deepfever/core'
import { openArtifact, sha256, targets, writeArtifact } from '@deepfever/formats'
import { encodeJpeg } from '@deepfever/media'
import { IMAGENET_NORMALISATION } from '@deepfever/models'
import { nativeMissing, openBackend } from '@deepfever/runtime'
import { openJpegDecoder } from '@deepfever/runtime/jpeg'
import t from 'tap'
import { openBatches, openPlan, stepsPerEpoch, type NamedBatch } from '../src/batches.ts'
import { openWork, type LoadJob } from '../src/crop-loading.ts'
import type { Experiment } from '../src/experiment.ts'
import { openFaceIds, openFaceIndex } from '../src/face-ids.ts'
import { isFlipped, openOrder } from '../src/order.ts'
import { readTrainingData, type TrainingData } from '../src/training-data.ts'
import { SIZE, drawFaces, spec } from './drawn-inputs.ts'
import { oddJpegs } from './odd-jpegs.ts'
import { tinyStudent } from './tiny-run.ts'

const dir = t.testdir({})
const rows = Array.from({ length: 5 }, (_, i) => [i, i + 1, i + 2] as const)
const idsOf = (name: string, count: number) =>
  Array.from({ length: count }, (_, i) => `${name}-${i}`)
const places = {
  fec: await drawFaces(join(dir, 'fec'), { train: 7, test: 1, rows }),
  affectnet: await drawFaces(join(dir, 'affectnet'), { train: 8, labels: 8 }),
  powder: await drawFaces(join(dir, 'powder'), { train: 3 }),
}
const ids = [...idsOf('fec', 7), ...idsOf('affectnet', 8), ...idsOf('powder', 3)]
await writeArtifact(spec(join(dir, 'targets'), 'targets'), silentLog, async write => {
  write.describe({ blocks: ['a', 'b'].map((teacher, start) => ({ teacher, start, width: 1 })) })
  // Not in the order of the faces, and with one that nobody asks for.
  for (const [view, value] of [
    ['flipped', 1],
    ['plain', 0],
  ] as const)
    for (const faceId of [...ids, 'stranger'].reverse())
      await write.append(targets, {
        faceId,
        view,
        target: Float32Array.of(value, ids.indexOf(faceId)),
      })
})

const skip = nativeMissing() ?? false
const experiment = tinyStudent.experiment
const read = async (change: Partial<Experiment> = {}): Promise<TrainingData> =>
  readTrainingData(
    {
      fec: await openArtifact(places.fec, 'faces'),
      affectnet: await openArtifact(places.affectnet, 'faces'),
      powder: await openArtifact(places.powder, 'faces'),
      targets: await openArtifact(join(dir, 'targets'), 'targets'),
    },
    { ...experiment, ...change },
    dir,
  )
const data = await read()

/** The batches of steps `first` to `end`. */
async function take(first: number, end: number, workers = 1, own = experiment) {
  const batches = openBatches(data, own, { workers })
  const taken: NamedBatch[] = []
  for await (const batch of batches.from(first, end))
    taken.push({ ...batch, images: batch.images.slice() })
  await batches.close()
  return taken
}

t.test('every pass is a permutation of its own, a function of name and pass alone', async t => {
  const passOf = (order: (n: number) => number, pass: number) =>
    Array.from({ length: 20 }, (_, i) => order(pass * 20 + i))
  const order = openOrder('7/triplets', 20)
  const [first, second] = [passOf(order, 0), passOf(order, 1)]
  const all = [...Array(20).keys()]
  for (const pass of [first, second])
    t.same(
      [...pass].sort((a, b) => a - b),
      all,
    )
  t.notSame(first, second)
  t.notSame(first, all)
  t.same(passOf(order, 0), first, 'going back gives the same')
  t.same(passOf(openOrder('7/triplets', 20), 1), second, 'no pass has to run before another')
  t.notSame(passOf(openOrder('8/triplets', 20), 0), first)
  const heads = Array.from({ length: 1000 }, (_, n) => isFlipped('7', n)).filter(Boolean).length
  t.ok(heads > 440 && heads < 560, `a fair coin: ${heads} of 1000`)
})

/** Names and digests of the batches: everything that a step gets. */
async function digestsOf(first: number, end: number, workers: number, addon?: string) {
  const batches = openBatches(data, experiment, { workers, addon })
  const digests: string[] = []
  for await (const { faceIds, images, targets: own, mask, ...rest } of batches.from(first, end)) {
    const numbers = [images, own!, mask!].map(of => sha256(new Uint8Array(of.buffer)))
    digests.push(sha256(JSON.stringify([faceIds, numbers, rest])))
  }
  await batches.close()
  return digests
}

t.test('batches are the same for 1, 2 and 4 workers, and from any step on', async t => {
  // Long enough for threads to be started and to overtake each other.
  const wanted = await digestsOf(0, 1200, 1)
  t.equal(new Set(wanted).size, 1200)
  for (const workers of [2, 4])
    t.same(await digestsOf(0, 1200, workers), wanted, `${workers} workers`)
  t.same(await digestsOf(1100, 1200, 2), wanted.slice(1100), 'as after a resume')
  const [other] = await take(0, 1, 1, { ...experiment, seed: 8 })
  t.notSame(other!.faceIds, (await take(0, 1))[0]!.faceIds)
})

t.test('the decoder of a native backend changes no bit', { skip }, async t => {
  const { addon } = await openBackend({ prefer: 'native' })
  t.same(await digestsOf(0, 40, 2, addon), await digestsOf(0, 40, 2))
  const waves = (side: number, i: number) =>
    Math.round(127 + 100 * Math.sin((i % 7) + i / side / 5) + ((i * 7919) % 27))
  const draw = (side: number, quality: number) => {
    const data = Uint8Array.from({ length: 3 * side * side }, (_, i) => waves(side, i))
    return encodeJpeg({ width: side, height: side, data }, quality)
  }
  const odd = Object.values(oddJpegs).map(text => Buffer.from(text, 'base64'))
  const colour = odd.slice(0, -1)
  // Where it fails the loader goes another way, so it is asked for itself.
  const library = openJpegDecoder(addon!)
  t.equal(library.decode(colour, 16).length, 3 * 16 * 16 * colour.length)
  t.throws(() => library.decode([colour[0]!.subarray(0, 300)], 16), /Invalid JPEG data/)
  t.throws(() => library.decode(colour, 18), /Session fail to run/)
  const sets: readonly (readonly [string, number, readonly Uint8Array[]])[] = [
    ['a detection stores', 140, [await draw(140, 95), await draw(140, 95)]],
    ['more than one call takes', 16, Array.from({ length: 50 }, (_, i) => colour[i % 3]!)],
    ['another encoder writes', 16, colour],
    ['grey', 16, odd],
    ['of another side', 140, [await draw(140, 95), await draw(70, 80)]],
    ['of an odd side', 15, [await draw(15, 90)]],
  ]
  for (const [what, side, jpegs] of sets) {
    const crops: LoadJob['crops'][number][] = []
    for (const [i, jpeg] of jpegs.entries()) {
      const path = join(dir, `${i}.jpg`)
      await writeFile(path, jpeg)
      const { size: sizeBytes } = await stat(path)
      crops.push({ path, offset: 0, sizeBytes, faceId: `${i}`, flipped: i % 2 === 1 })
    }
    const load = async (library: Pick<LoadJob, 'addon'>) => {
      const images = new SharedArrayBuffer(4 * 3 * side * side * crops.length)
      const job = { crops, side, normalisation: IMAGENET_NORMALISATION, images }
      await openWork()({ ...job, ...library })
      return sha256(new Uint8Array(images))
    }
    t.equal(await load({ addon }), await load({}), what)
  }
})

t.test(
  'a batch holds triplets, labelled and unlabelled faces, mirrored with their target',
  async t => {
    t.equal(stepsPerEpoch(data, experiment), 2, 'the fifth triplet waits for another epoch')
    const batches = await take(0, 3)
    for (const { faceIds, images, odd, margin, labels, mask, targets: rowsOf = [] } of batches) {
      t.same([faceIds.length, odd.length, margin.length, labels.length], [10, 2, 2, 3])
      for (const [i, at] of [0, 3].entries()) {
        const numbers = faceIds.slice(at, at + 3).map(id => Number(id.slice(4)))
        t.ok(
          rows.some((row, n) => row.join() === numbers.join() && n % 3 === odd[i]),
          `${faceIds.slice(at, at + 3).join(' ')} is a triplet with its odd face`,
        )
      }
      t.same(margin, [0.2, 0.2])
      t.same(
        labels,
        faceIds.slice(6, 9).map(id => Number(id.slice(10))),
      )
      t.same([...new Set(mask)].sort(), [0, 1.25])
      // The left column is the brighter one unless the face is mirrored, and its target with it.
      const wanted = faceIds.flatMap((id, row) => {
        const at = row * SIZE * SIZE * 3
        return [images[at]! < images[at + (SIZE - 1) * 3]! ? 1 : 0, ids.indexOf(id)]
      })
      t.same([...rowsOf], wanted)
    }
    const flips = batches.flatMap(({ targets: of = [] }) => [...of].filter((_, i) => i % 2 === 0))
    t.ok(flips.includes(0) && flips.includes(1))
    const epoch = batches.slice(0, 2).flatMap(({ faceIds }) => [faceIds[0], faceIds[3]])
    t.equal(new Set(epoch).size, 4, 'no triplet comes twice in an epoch')
  },
)

t.test('ids come back as they went in, and an id is found at its first row', async t => {
  const given = Array.from({ length: 500 }, (_, i) => `${'a clip of a long name/'.repeat(2)}${i}#0`)
  given.push('Gesicht über 😀#1', '', given[7]!, 'last')
  const own = openFaceIds(given.length)
  for (const id of given) own.add(id)
  const all = given.map((_, row) => own.idOf(row))
  t.same(all, given, 'more bytes than were expected of that many ids')
  const rowOf = openFaceIndex(own)
  t.same(
    given.map(rowOf),
    given.map(id => given.indexOf(id)),
  )
  t.same(['', 'first', 'last '].map(openFaceIndex(openFaceIds(0))), [
    undefined,
    undefined,
    undefined,
  ])
  t.same(['first', 'last '].map(rowOf), [undefined, undefined])
})

t.test('held-out triplets are never trained on', async t => {
  const { triplets, heldOut } = await read({ heldOut: 0.4 })
  t.same([triplets.length, heldOut.length], [3, 2])
  const all = [triplets, heldOut].flatMap(part =>
    Array.from({ length: part.length }, (_, i) => part.rowsOf(i).join()),
  )
  t.same(
    all.sort(),
    rows.map(row => row.join()),
  )
})

t.test('a smaller fraction of the unlabelled faces is part of a larger one', async t => {
  const [one, two] = [
    await read({ unlabelledFraction: 0.3 }),
    await read({ unlabelledFraction: 0.6 }),
  ]
  t.same([one.unlabelled.length, two.unlabelled.length, data.unlabelled.length], [1, 2, 3])
  t.ok([...one.unlabelled].every(row => two.unlabelled.includes(row)))
})

t.test('a kind of triplet without a margin is named before the first step', async t => {
  await t.rejects(read({ margins: { ONE_CLASS_TRIPLET: 0.1 } }), {
    name: 'UsageError',
    message:
      'triplets of kind TWO_CLASS_TRIPLET have no margin; the experiment has ONE_CLASS_TRIPLET',
  })
})

t.test('a shard that changes under a run is named with the face', async t => {
  const shard = data.faces.placeOf(data.labelled[0]!).path
  const bytes = await readFile(shard)
  t.teardown(() => writeFile(shard, bytes))
  await writeFile(shard, bytes.fill(1))
  await t.rejects(take(0, 3), {
    message: /faces-00000\.arrow: face affectnet-\d: picture: does not begin as JPEG/,
  })
  await writeFile(shard, '')
  await t.rejects(take(0, 3), {
    message: /faces-00000\.arrow: ends \d+ bytes early; it was changed under the run/,
  })
})

t.test('a pass leaves no trace of the order of the rows', async t => {
  const count = 2000
  const long: TrainingData = {
    ...data,
    labelled: Int32Array.from({ length: count }, (_, i) => i % 15),
  }
  const planOf = openPlan(long, { ...experiment, batch: { ...experiment.batch, labelled: 20 } })
  t.equal(planOf(7).rows.length, 27)
  const order = openOrder('7/labelled', count)
  const places = Array.from({ length: count }, (_, n) => order(n))
  const middle = (count - 1) / 2
  const sum = places.reduce((total, place, n) => total + (place - middle) * (n - middle), 0)
  const correlation = (12 * sum) / (count * (count ** 2 - 1))
  const travel = places.reduce((most, place, n) => Math.max(most, Math.abs(place - n)), 0)
  t.comment(`rank correlation ${correlation.toFixed(4)}, longest way ${travel} of ${count} rows`)
  t.ok(Math.abs(correlation) < 4 / Math.sqrt(count), 'Spearman, within 4 standard deviations')
  t.ok(travel > 0.9 * count)
})
