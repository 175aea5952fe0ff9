// tap: test/vectors.test.ts covers src/foreign/*vector*.ts, src/foreign/parquet-pages.ts
import { readFile, readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import * as arrow from 'apache-arrow'
import t from 'tap'
import { readVectors } from '../src/foreign/index.ts'

const parquets = new URL('fixtures/parquet/', import.meta.url)
t.test('Parquet files of pyarrow, pandas, polars and DuckDB: the same vectors', async t => {
  const names = (await readdir(parquets)).filter(name => /^(pyarrow|pandas|polars|duck)/.test(name))
  t.equal(names.length, 10)
  for (const name of names) {
    const { rowCount, rows } = await readVectors(
      fileURLToPath(new URL(name, parquets)),
      'faceId',
      'vector',
    )
    t.equal(rowCount, 6)
    const found = []
    for await (const { id, vector } of rows()) found.push([id, ...vector])
    const wanted = Array.from({ length: 6 }, (_, i) => [
      `face-${i}`,
      ...[0.5, 1.5, 2.5, 3.5].map(value => 4 * i + value),
    ])
    t.same(found, wanted, name)
  }
})

t.test('Parquet files that are not vectors by id are refused with the row', async t => {
  const dir = t.testdir({ cut: '', text: 'faceId,vector\n' })
  const whole = await readFile(new URL('pyarrow-snappy.parquet', parquets))
  await writeFile(join(dir, 'cut'), whole.subarray(0, 300))
  const place = (name: string) => fileURLToPath(new URL(name, parquets))
  for (const [path, message] of [
    [place('null-number.parquet'), /null-number.*found row 1: nothing among numbers in vector/],
    [place('null-vector.parquet'), /null-vector.*found row 1: 0 numbers, wanted 2, as in row 0/],
    [place('number-as-id.parquet'), /found row 0: a bigint as faceId, wanted a Parquet file with/],
    [join(dir, 'cut'), /cut: found .*, wanted a Parquet file with columns faceId \(text\)/],
    [join(dir, 'text'), /text: found .*, wanted a Parquet file with columns faceId \(text\)/],
  ] as const)
    await t.rejects(
      async () => {
        for await (const _ of (await readVectors(path, 'faceId', 'vector')).rows())
          await Promise.resolve()
      },
      { name: 'FormatError', message },
      path,
    )
})

t.test(
  'Arrow files of others: float64 lists and missing values are refused, not misread',
  async t => {
    const dir = t.testdir({})
    const write = async (name: string, number: arrow.Float32 | arrow.Float64, list: unknown) => {
      const item = new arrow.Field('item', number, true)
      const vector = arrow.vectorFromArray([[1, 2], list], new arrow.FixedSizeList(2, item))
      const faceId = arrow.vectorFromArray(['a', 'b'], new arrow.Utf8())
      const path = join(dir, name)
      await writeFile(path, arrow.tableToIPC(new arrow.Table({ faceId, vector }), 'file'))
      return readVectors(path, 'faceId', 'vector')
    }
    const read = async ({ rows }: Awaited<ReturnType<typeof readVectors>>) => {
      const found = []
      for await (const { id, vector } of rows()) found.push([id, ...vector])
      return found
    }
    t.same(await read(await write('whole.arrow', new arrow.Float32(), [3, 4])), [
      ['a', 1, 2],
      ['b', 3, 4],
    ])
    await t.rejects(write('double.arrow', new arrow.Float64(), [3, 4]), {
      name: 'FormatError',
      message: /double\.arrow: found columns .*Float64.*, wanted an Arrow file/,
    })
    for (const [name, list] of [
      ['row.arrow', null],
      ['number.arrow', [3, null]],
    ] as const)
      await t.rejects(read(await write(name, new arrow.Float32(), list)), {
        name: 'FormatError',
        message: /found rows 0 to 1: something missing, wanted an Arrow file/,
      })
  },
)
