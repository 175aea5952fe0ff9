// tap: test/inspection.test.ts covers src/inspection.ts, src/class-folders.ts, src/card.ts, src/stages/inspect-stage.ts
import { join } from 'node:path'
import t from 'tap'
import { silentLog } from '@deepfever/core'
import {
  carded,
  inspectCorpus,
  inspectionTable,
  openSource,
  readCard,
  readClassFolders,
} from '@deepfever/datasets'
import { encodeNpy } from '@deepfever/formats'
import { encodeJpeg } from '@deepfever/media'

const open = (source: string) => openSource({ source, index: '', corpus: 'folder' }, silentLog)
const picture = Buffer.from(
  await encodeJpeg({ width: 8, height: 8, data: new Uint8Array(192).fill(90) }),
)
const cut = picture.subarray(0, 200)

t.test('folders of classes, with and without splits; what is no picture has a code', async t => {
  const dir = t.testdir({
    plain: {
      neutral: { 'a.jpg': picture, deep: { 'b.PNG': 'x' } },
      happy: { 'a.jpg': picture, 'notes.txt': 'x' },
      'loose.jpg': picture,
    },
    parted: {
      train: { sad: { 'a.jpg': picture }, glad: { 'b.jpg': picture } },
      valid: { sad: { 'c.jpg': picture } },
    },
    single: { only: { 'a.jpg': picture } },
  })
  const plain = readClassFolders(await open(join(dir, 'plain')))
  t.same(plain.classes, ['happy', 'neutral'])
  t.same(
    plain.readings.map(reading =>
      'picture' in reading
        ? [reading.picture.id, reading.picture.label, reading.picture.split].join(' ')
        : `${reading.reject.id} ${reading.reject.code}`,
    ),
    [
      'folder:happy/a.jpg 0 test',
      'folder:happy/notes.txt not_a_picture',
      'folder:loose.jpg no_class',
      'folder:neutral/a.jpg 1 test',
      'folder:neutral/deep/b.PNG 1 test',
    ],
  )
  const parted = readClassFolders(await open(join(dir, 'parted')))
  t.same(parted.classes, ['glad', 'sad'])
  t.match(parted.readings[2], { picture: { label: 1, split: 'val' } })
  const single = await open(join(dir, 'single'))
  t.throws(() => readClassFolders(single), { message: /found 1 folder\(s\) with pictures .* two/ })
})

t.test('an inspection counts beside the published figures and says what was refused', async t => {
  const label = (value: number) =>
    Buffer.from(encodeNpy({ shape: [], values: Int32Array.of(value) }))
  const root = t.testdir({
    val_set: {
      images: { '1.jpg': picture, '2.jpg': cut, '3.jpg': picture },
      annotations: { '1_exp.npy': label(7), '2_exp.npy': label(1), '3_exp.npy': label(9) },
    },
  })
  const { rows, rejects, title } = await inspectCorpus('affectnet', await open(root), true)
  t.match(title, 'newer release')
  t.same(
    rows.find(row => row.split === 'val' && row.name === 'contempt'),
    { split: 'val', name: 'contempt', found: 1, published: 499 },
  )
  t.same(
    rows.find(row => row.split === 'val' && row.name.startsWith('7')),
    { split: 'val', name: '7 classes, without contempt', found: 0, published: 3500 },
  )
  t.same(
    rejects.map(({ code, count }) => [code, count]),
    [
      ['no_expression', 1],
      ['truncated_picture', 1],
    ],
  )
  const table = inspectionTable({ title, rows, rejects })
  t.match(table, /val +contempt +1 +499 +-498/)
  t.match(table, /truncated_picture +1 +affectnet:val\/2/)
})

t.test('RAF-DB, FEC and plain folders are inspected through their own readers', async t => {
  const votes = (answer: number) =>
    Array.from({ length: 6 }, (_, i) => `42${i},${answer}`).join(',')
  const face = (name: string) => `"http://photos.example/1/${name}.jpg",0.1,0.9,0.1,0.9`
  const dir = t.testdir({
    raf: {
      EmoLabel: { 'list_patition_label.txt': 'test_0001.jpg 1\ntest_0002.jpg 2' },
      Image: { aligned: { 'test_0001_aligned.jpg': picture } },
    },
    fec: {
      'faceexp-comparison-data-test-public.csv': `${['a', 'b', 'c'].map(face).join(',')},ONE_CLASS_TRIPLET,${votes(2)}\n${['a', 'b', 'gone'].map(face).join(',')},ONE_CLASS_TRIPLET,${votes(2)}\n`,
      images: { 'a.jpg': picture, 'b.jpg': picture, 'c.jpg': picture },
    },
    folder: { x: { 'a.jpg': picture }, y: { 'b.jpg': 'text' } },
  })
  const raf = await inspectCorpus('rafdb', await open(join(dir, 'raf')), false)
  t.match(inspectionTable(raf), /test +surprise +1 +329 +-328/)
  t.match(raf.rejects, [{ code: 'missing_picture', count: 1, example: 'rafdb:test_0002' }])
  const fec = await inspectCorpus('fec', await open(join(dir, 'fec')), false)
  t.match(inspectionTable(fec), /test +all triplets +1 +- +-/)
  t.match(inspectionTable(fec), /train +the public list +446535 to 449142 +rows that public code/)
  t.same(
    fec.rejects.map(({ code }) => code),
    ['face: missing_picture', 'triplet: missing_picture'],
  )
  const folder = await inspectCorpus('folder', await open(join(dir, 'folder')), true)
  t.match(folder.rejects, [{ code: 'not_a_picture', count: 1 }])
})

t.test('a name of a file cannot steer the terminal', t => {
  const rejects = [{ code: 'no_class', count: 1, example: 'a\u001b[2J\u202eb' }]
  const table = inspectionTable({ title: 'x', rows: [], rejects })
  t.match(table, 'a?[2J?b')
  t.end()
})

t.test('every card is whole', async t => {
  for (const corpus of carded) {
    const card = await readCard(corpus)
    t.equal(card.name, corpus)
    for (const text of [card.citation, card.licence, card.ask, card.countsOf])
      t.ok(text.length > 10, corpus)
    t.ok(card.layout.length > 1)
    for (const counts of [...Object.values(card.counts), ...Object.values(card.counts2017 ?? {})])
      t.equal(counts.length, card.classes.length)
  }
})
