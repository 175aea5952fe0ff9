// tap: test/properties.test.ts covers src/foreign/tar.ts, src/arrow.ts, src/parquet.ts, src/shard.ts, src/table.ts, src/manifest.ts, src/artifact.ts, src/journal.ts
// DEEPFEVER_DAMAGES=1000 damages each format so often; without it 100 times.
import { deepStrictEqual } from 'node:assert/strict'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import fc from 'fast-check'
import t from 'tap'
import { FormatError, silentLog } from '@deepfever/core'
import {
  bytes,
  decodeNpy,
  decodeSafetensors,
  decodeShard,
  decodeTorch,
  defineTable,
  encodeShard,
  float32,
  float32List,
  float32Vector,
  int32,
  int64,
  listTar,
  openArtifact,
  readCsv,
  stateDictOf,
  utf8,
  writeArtifact,
  type Ledger,
  type RowOf,
  type StateDict,
} from '../src/index.ts'
import { openJournal } from '../src/journal.ts'

const damages = Number(process.env['DEEPFEVER_DAMAGES'] ?? 100)
t.setTimeout(60_000 + damages * 500)

const columns = {
  text: utf8('any'),
  small: int32('any'),
  large: int64('any'),
  real: float32('any'),
  box: float32List(3, 'any'),
  vector: float32Vector('any'),
  raw: bytes('any'),
}
const tables = {
  arrow: defineTable('drawn', 1, columns, 'arrow'),
  parquet: defineTable('drawn', 1, columns, 'parquet'),
} as const
type DrawnRow = RowOf<(typeof tables)['arrow']>

const real = fc.float({ noNaN: true, noDefaultInfinity: true })
const vectorOf = (width: number) =>
  fc.array(real, { minLength: width, maxLength: width }).map(values => Float32Array.from(values))
/** One to four bytes in UTF-8, and what delimiters are made of. */
const letter = fc.constantFrom('a', '\0', '"', ',', '\n', 'é', '字', '😀', '\ufeff', '\u0301')
const rowOf = (width: number) =>
  fc.record({
    text: fc.string({ unit: letter, maxLength: 12 }),
    small: fc.integer(),
    large: fc.maxSafeInteger(),
    real,
    box: vectorOf(3),
    vector: vectorOf(width),
    raw: fc.uint8Array({ maxLength: 20 }),
  })
/** Rows of one file: the free vector has one width in all of them. */
const anyRows = fc
  .integer({ min: 1, max: 5 })
  .chain(width => fc.array(rowOf(width), { maxLength: 8 }))

/** Plain values, so that views into a file compare with what was written. */
const plain = (row: DrawnRow) => ({
  ...row,
  box: [...row.box],
  vector: [...row.vector],
  raw: [...row.raw],
})

async function collect(rows: AsyncIterable<DrawnRow>) {
  const all: ReturnType<typeof plain>[] = []
  for await (const row of rows) all.push(plain(row))
  return all
}

/** Positions all over a file: drawn numbers lean towards 0 otherwise. */
const anywhere = fc.noBias(fc.nat())
const part = (kind: string, min: number, max: number) =>
  fc.record({ kind: fc.constant(kind), at: anywhere, bits: fc.integer({ min, max }) })
/** A change of a file: bits of a byte (few: text stays text), an end cut off, a byte put in. */
const anyDamage = fc.oneof(
  part('flip', 1, 7),
  part('flip', 1, 255),
  part('cut', 0, 0),
  part('insert', 32, 126),
)
interface Damage {
  readonly kind: string
  readonly at: number
  readonly bits: number
}
function damaged(file: Uint8Array, { kind, at, bits }: Damage): Uint8Array {
  const place = at % file.length
  if (kind === 'cut') return file.subarray(0, place)
  if (kind === 'insert')
    return Buffer.concat([file.subarray(0, place), Uint8Array.of(bits), file.subarray(place)])
  const changed = Uint8Array.from(file)
  changed[place]! ^= bits
  return changed
}

for (const [storage, table] of Object.entries(tables)) {
  t.test(`${storage}: what is written is read back, and equal rows give equal bytes`, async t => {
    const property = fc.asyncProperty(anyRows, async rows => {
      const file = await encodeShard(table, rows)
      deepStrictEqual(await collect(decodeShard(table, file, 'shard')), rows.map(plain))
      deepStrictEqual(await encodeShard(table, rows), file)
    })
    await fc.assert(property, { numRuns: 100 })
    t.pass('100 files')
  })

  t.test(`${storage}: a damaged artifact is a FormatError or reads as it was written`, async t => {
    const out = join(t.testdir({}), 'artifact')
    const rows = fc.sample(rowOf(2), { numRuns: 3, seed: 1 })
    const spec = { out, kind: 'drawn', stage: 'draw', behaviour: 1, identity: { a: 1 }, inputs: [] }
    const { tables } = await writeArtifact(spec, silentLog, async write => {
      for (const row of rows) await write.append(table, row)
      write.reject('no_reason', 'example')
      await write.done('all')
    })
    const read = async () => {
      const artifact = await openArtifact(out, 'drawn')
      return { rows: await collect(artifact.rows(table)), ledger: artifact.manifest.ledger }
    }
    const whole = await read()
    const shard = join(out, tables['drawn']!.shards[0]!.name)
    const manifest = join(out, 'manifest.json')
    const files = { shard: await readFile(shard), manifest: await readFile(manifest) }
    const after = async (place: string, file: Uint8Array, damage: Damage) => {
      await writeFile(place, damaged(file, damage))
      const found = await read().catch((thrown: unknown) => thrown)
      await writeFile(place, file)
      return found
    }
    let refused = 0
    const property = fc.asyncProperty(anyDamage, async damage => {
      const shardRead = await after(shard, files.shard, damage)
      if (!(shardRead instanceof FormatError)) throw new Error('a damaged shard was read')
      const manifestRead = await after(manifest, files.manifest, damage)
      if (manifestRead instanceof FormatError) refused++
      else {
        if (manifestRead instanceof Error) throw manifestRead
        const { rows, ledger } = manifestRead as typeof whole
        if (!isDeepStrictEqual(rows, whole.rows)) throw new Error('other rows were read')
        const countsOf = ({ inputs, outputs, rejects }: Ledger) =>
          [inputs, outputs, ...Object.values(rejects).map(({ count }) => count)].join()
        if (countsOf(ledger) !== countsOf(whole.ledger)) throw new Error('other counts were read')
      }
    })
    await fc.assert(property, { numRuns: damages })
    t.ok(refused > 0.3 * damages, `${refused} of ${damages} damaged manifests were refused`)
  })

  t.test(`${storage}: a shard that was cut off anywhere never reads as fewer rows`, async t => {
    const rows = fc.sample(rowOf(2), { numRuns: 3, seed: 2 })
    const file = await encodeShard(table, rows)
    const property = fc.asyncProperty(
      fc.integer({ min: 0, max: file.length - 1 }),
      async length => {
        const found = await collect(decodeShard(table, file.slice(0, length), 'cut')).catch(
          (thrown: unknown) => thrown,
        )
        if (!(found instanceof FormatError)) throw new Error(`${length} bytes: ${String(found)}`)
      },
    )
    await fc.assert(property, { numRuns: damages })
    t.pass(`${damages} lengths`)
  })
}

/** A member of a tar file in the ustar layout. */
function tarMember(name: string, kind: string, data: Buffer): Buffer {
  const header = Buffer.alloc(512)
  header.write(name, 0)
  header.write(data.length.toString(8).padStart(11, '0'), 124)
  header.write(' '.repeat(8), 148)
  header.write(kind, 156)
  header.write('ustar\u000000', 257)
  const sum = header.reduce((total, byte) => total + byte, 0)
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148)
  return Buffer.concat([header, data, Buffer.alloc((512 - (data.length % 512)) % 512)])
}

t.test('tar: a damaged file is a FormatError, or its members lie inside it', async t => {
  const place = join(t.testdir({}), 'clips.tar')
  const whole = Buffer.concat([
    tarMember('a.mp4', '0', Buffer.alloc(700, 1)),
    tarMember('pax', 'x', Buffer.from('21 path=folder/b.mp4\n')),
    tarMember('b', '0', Buffer.alloc(30, 2)),
    tarMember('long', 'L', Buffer.from('c.mp4\0')),
    tarMember('c', '0', Buffer.alloc(512, 3)),
    Buffer.alloc(1024),
  ])
  const list = async (file: Uint8Array) => {
    await writeFile(place, file)
    const members: string[] = []
    for await (const { name, start, sizeBytes } of listTar(place)) {
      if (!(start >= 512 && sizeBytes >= 0 && start + sizeBytes <= file.length))
        throw new Error(`${name} ends at byte ${start + sizeBytes} of ${file.length}`)
      members.push(name)
    }
    return members
  }
  t.same(await list(whole), ['a.mp4', 'folder/b.mp4', 'c.mp4'])
  let refused = 0
  const property = fc.asyncProperty(anyDamage, async damage => {
    const found = await list(damaged(whole, damage)).catch((thrown: unknown) => thrown)
    if (found instanceof FormatError) refused++
    else if (found instanceof Error) throw found
  })
  await fc.assert(property, { numRuns: damages })
  t.ok(refused > 0.2 * damages, `${refused} of ${damages} damaged files were refused`)
})

const golden = (name: string) =>
  readFile(join(import.meta.dirname, '../../../test/golden/files', name))

/** Damages a file; gives how often it was refused, the rest having passed `check`. */
async function damage(
  whole: Uint8Array,
  check: (file: Uint8Array) => Promise<void> | void,
): Promise<number> {
  let refused = 0
  const property = fc.asyncProperty(anyDamage, async drawn => {
    try {
      await check(damaged(whole, drawn))
    } catch (thrown) {
      if (!(thrown instanceof FormatError)) throw thrown
      refused++
    }
  })
  await fc.assert(property, { numRuns: damages })
  return refused
}

const plainTensors = (tensors: StateDict) =>
  [...tensors].map(([name, { shape, dtype, values }]) => ({
    ...{ name, shape, dtype, values: Array.from(values as Float32Array, Number) },
  }))

function checkTensors(tensors: StateDict): void {
  for (const [name, { shape, values }] of tensors)
    if (values.length !== shape.reduce((product, size) => product * size, 1))
      throw new Error(`${name} has ${values.length} values in shape ${shape.join()}`)
}

t.test('torch zip: a damaged file is a FormatError or reads as it was written', async t => {
  const file = await golden('zip.pt')
  const whole = plainTensors(stateDictOf(decodeTorch(file, 'zip.pt'), 'zip.pt'))
  const refused = await damage(file, bytes => {
    const found = plainTensors(stateDictOf(decodeTorch(bytes, 'zip.pt'), 'zip.pt'))
    if (!isDeepStrictEqual(found, whole)) throw new Error('other tensors were read')
  })
  t.ok(refused > 0.5 * damages, `${refused} of ${damages} were refused`)
})

// These have no checksums of their own. Where they stand in an artifact, its manifest has one.
const unchecked: Readonly<Record<string, (file: Uint8Array) => void>> = {
  'legacy.pt': file => checkTensors(stateDictOf(decodeTorch(file, 'legacy.pt'), 'legacy.pt')),
  'reference.safetensors': file => checkTensors(decodeSafetensors(file, 'safetensors').tensors),
  'landmarks.npy': file => {
    const { shape, values } = decodeNpy(file, 'npy')
    if (values.length !== shape.reduce((product, size) => product * size, 1))
      throw new Error(`${values.length} values in shape ${shape.join()}`)
  },
}
for (const [name, check] of Object.entries(unchecked))
  t.test(`${name}: a damaged file is a FormatError, or whole tensors`, async t => {
    const refused = await damage(await golden(name), check)
    t.ok(refused > 0.3 * damages, `${refused} of ${damages} were refused`)
  })

t.test('CSV: a damaged list is a FormatError, or rows of text', async t => {
  const place = join(t.testdir({}), 'list.csv')
  const whole = Buffer.from('id,"a ""b"", c",3\r\nd,"e\nf",5\ng,h,0.25\n')
  const refused = await damage(whole, async file => {
    await writeFile(place, file)
    for await (const row of readCsv(place))
      if (!row.every(cell => typeof cell === 'string')) throw new Error('a cell is no text')
  })
  t.ok(refused > 0, `${refused} of ${damages} were refused`)
})

t.test('journal: a damaged one goes on behind the safe points before the damage', async t => {
  const dir = t.testdir({})
  const [file, parts] = [join(dir, 'journal'), join(dir, 'parts')]
  const written = await openJournal(dir, parts, 'work', silentLog)
  const points = [{ inputs: 0, done: [] as string[] }]
  for (const item of ['a', 'b', 'c']) {
    written.state.inputs++
    await written.record([item])
    points.push({ inputs: written.state.inputs, done: [...points.at(-1)!.done, item] })
  }
  const whole = await readFile(file)
  let earlier = 0
  await damage(whole, async bytes => {
    await writeFile(file, bytes)
    const { state, done } = await openJournal(dir, parts, 'work', silentLog)
    const found = { inputs: state.inputs, done: [...done] }
    if (!points.some(point => isDeepStrictEqual(point, found))) throw new Error('no safe point')
    if (done.size < 3) earlier++
  })
  t.ok(earlier > 0.8 * damages, `${earlier} of ${damages} went on earlier`)
})
