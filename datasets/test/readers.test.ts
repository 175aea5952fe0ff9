// tap: test/readers.test.ts covers src/affectnet.ts, src/annotation-list.ts, src/fec.ts, src/fec-rows.ts, src/rafdb.ts, src/raw-index.ts, src/source.ts
import { symlink, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { silentLog } from '@deepfever/core'
import {
  decodeIndex,
  digestOf,
  encodeIndex,
  indexFolder,
  mergeVotes,
  openSource,
  readAffectNet,
  readFec,
  readRafDb,
} from '@deepfever/datasets'
import type { Corpus, Reading, Source } from '@deepfever/datasets'
import { encodeNpy } from '@deepfever/formats'
import { readCsv } from '@deepfever/formats'

const open = (source: string, corpus: Corpus): Promise<Source> =>
  openSource({ source, index: '', corpus }, silentLog)
const collect = async <T>(items: AsyncIterable<T>): Promise<T[]> => {
  const all: T[] = []
  for await (const item of items) all.push(item)
  return all
}
const short = (reading: Reading): string =>
  'picture' in reading
    ? `${reading.picture.id} ${reading.picture.label} ${reading.picture.split}`
    : `${reading.reject.id} ${reading.reject.code}`
const npy = (values: string[] | Int32Array) => Buffer.from(encodeNpy({ shape: [], values }))

t.test("AffectNet's newer release: labels as text or numbers, the rest with a code", async t => {
  const root = t.testdir({
    train_set: {
      images: { '1.jpg': 'x', '2.jpg': 'x', '3.jpg': 'x', '4.jpg': 'x', '6.jpg': 'x' },
      annotations: {
        '1_exp.npy': npy(['3']),
        '2_exp.npy': npy(Int32Array.of(7)),
        '3_exp.npy': npy(['10']),
        '4_exp.npy': npy(['']),
        '5_exp.npy': npy(['0']),
        '6_exp.npy': 'no array',
        '1_val.npy': npy(['-0.25']),
        '1_aro.npy': npy(['-2']),
        '1_lnd.npy': Buffer.from(
          encodeNpy({ shape: [136], values: Float64Array.from({ length: 136 }, (_, i) => i / 2) }),
        ),
        '2_val.npy': 'no array',
      },
    },
    val_set: { images: { '9.jpg': 'x' }, annotations: { '9_exp.npy': npy(['0']) } },
  })
  const readings = await collect(readAffectNet(await open(root, 'affectnet')))
  const [first, second] = readings as unknown as { picture: Record<string, unknown> }[]
  t.match(first, { picture: { valence: -0.25 } })
  t.equal((first!.picture['landmarks'] as number[])[135], 67.5)
  t.notOk('arousal' in first!.picture, '-2 stands for none')
  t.notOk('valence' in second!.picture, 'an unsound value is left out, not the picture')
  t.match(readings[4], { reject: { label: 0, split: 'train' } })
  t.same(readings.map(short), [
    'affectnet:train/1 3 train',
    'affectnet:train/2 7 train',
    'affectnet:train/3 no_expression',
    'affectnet:train/4 bad_annotation',
    'affectnet:train/5 missing_picture',
    'affectnet:train/6 bad_annotation',
    'affectnet:val/9 0 val',
  ])
})

t.test("AffectNet's 2017 release: with and without a header, NULL boxes refused", async t => {
  const points = Array.from({ length: 136 }, (_, i) => String(i))
  const head =
    'subDirectory_filePath,face_x,face_y,face_width,face_height,facial_landmarks,expression,valence,arousal\n'
  const root = t.testdir({
    Manually_Annotated_file_lists: {
      'training.csv': Buffer.concat([
        Buffer.from(
          [
            `${head}1/a.jpg,5,6,10,20,${points.join(';')},1,0.5,0.1`,
            '1/b.jpg,NULL,NULL,NULL,NULL,NULL,0,-2,-2',
            '1/c.jpg,5,6,10,20,1;2,9,-2,-2',
            '1/e.jpg,5,6,-10,20,1;2,3,0,0',
            '1/d.jpg,5,6,10,20,1;2,6,0.5,0.1',
            '../../out.jpg,5,6,10,20,1;2,6,0.5,0.1',
            '/etc/out.jpg,5,6,10,20,1;2,6,0.5,0.1',
            '1/f.jpg,5,6,10,20,1;2,11,0.5,0.1',
            '1/g.jpg,5,6,10,20,1;2,-1,0.5,0.1',
            '1/h.jpg,5,6,10,20,1;2,,0.5,0.1',
            '',
          ].join('\n'),
        ),
        Buffer.from('1/\xe9.jpg,5,6,10,20,1;2,6,0.5,0.1\n', 'latin1'),
        Buffer.from('1/none.jpg,5,6,10,20,1;2,2,0.5,0.1\n1/cu'),
      ]),
      'validation.csv': '1/d.jpg,5,6,10,20,1;2,6,0.5,0.1\n',
    },
    Manually_Annotated: {
      Manually_Annotated_Images: {
        1: { 'a.jpg': 'x', 'b.jpg': 'x', 'c.jpg': 'x', 'd.jpg': 'x', 'e.jpg': 'x' },
      },
    },
  })
  const readings = await collect(readAffectNet(await open(root, 'affectnet')))
  t.same(readings.map(short), [
    'affectnet:1/d.jpg 6 val',
    'affectnet:1/a.jpg 1 train',
    'affectnet:1/b.jpg bad_box',
    'affectnet:1/c.jpg no_expression',
    'affectnet:1/e.jpg bad_box',
    'affectnet:1/d.jpg repeated_entry',
    'affectnet:../../out.jpg path_outside',
    'affectnet:/etc/out.jpg path_outside',
    'affectnet:1/f.jpg bad_annotation',
    'affectnet:1/g.jpg bad_annotation',
    'affectnet:1/h.jpg bad_annotation',
    'affectnet:1/\ufffd.jpg bad_encoding',
    'affectnet:1/none.jpg missing_picture',
    'affectnet:1/cu bad_annotation',
  ])
  t.match(readings[1], {
    picture: { box: [5, 6, 15, 26], valence: 0.5, arousal: 0.1, landmarks: points.map(Number) },
  })
  t.notOk('landmarks' in (readings[0] as { picture: object }).picture, 'two points are not 68')
  t.match(readings[12], { reject: { label: 2, split: 'train' } }, 'counts in the whole split')
})

t.test("AffectNet's lists: UTF-16 and a cut-off quote are errors with the list's name", async t => {
  const lists = (text: string | Buffer) => ({
    Manually_Annotated_file_lists: { 'training.csv': text },
  })
  const root = t.testdir({
    wide: lists(Buffer.from('1/a.jpg,5,6,10,20,1;2,1,0,0\n', 'utf16le')),
    cut: lists('1/a.jpg,5,6,10,20,"1;2;'),
  })
  for (const [name, message] of [
    ['wide', /training\.csv: found zero bytes, wanted UTF-8 text; convert it with: iconv/],
    ['cut', /training\.csv: not readable as CSV: Quote Not Closed/],
  ] as const)
    await t.rejects(collect(readAffectNet(await open(join(root, name), 'affectnet'))), {
      name: 'FormatError',
      message,
    })
})

t.test('RAF-DB: labels from 0, a list without a last newline', async t => {
  const root = t.testdir({
    EmoLabel: {
      'list_patition_label.txt':
        'train_00001.jpg 5\r\ntrain_00002.jpg 9\ntest_0001.jpg 1\ntrain_00001.jpg 5\n' +
        'train_../../x.jpg 1\nother.jpg 1\ntrain_00003.jpg\ntest_0002.jpg 7',
    },
    Image: {
      aligned: { 'train_00001_aligned.jpg': 'x', 'test_0002_aligned.jpg': 'x' },
      original: { 'test_0001.jpg': 'x' },
    },
  })
  const original = await collect(readRafDb(await open(root, 'rafdb'), 'original'))
  t.same(
    original.filter(reading => 'picture' in reading),
    [
      {
        picture: {
          ...{ id: 'rafdb:test_0001', path: 'Image/original/test_0001.jpg' },
          ...{ label: 0, split: 'test' },
        },
      },
    ],
  )
  t.same((await collect(readRafDb(await open(root, 'rafdb')))).map(short), [
    'rafdb:train_00001 4 train',
    'rafdb:train_00002 bad_annotation',
    'rafdb:test_0001 missing_picture',
    'rafdb:train_00001 repeated_entry',
    'rafdb:train_../../x path_outside',
    'rafdb:other bad_annotation',
    'rafdb:train_00003 bad_annotation',
    'rafdb:test_0002 6 test',
  ])
  const bytes = Buffer.from('train_00001.jpg 5\n', 'utf16le')
  await writeFile(join(root, 'EmoLabel/list_patition_label.txt'), bytes)
  await t.rejects(collect(readRafDb(await open(root, 'rafdb'))), {
    name: 'FormatError',
    message: /list_patition_label\.txt: found zero bytes, wanted UTF-8/,
  })
})

t.test(
  'FEC: two thirds of all votes, however many; one photograph with two boxes is two faces',
  async t => {
    t.same(mergeVotes([1, 1, 1, 1, 2, 3]), { odd: 0, votesFor: 4, votesTotal: 6 })
    t.equal(mergeVotes([1, 1, 1, 2, 2, 3]), undefined)
    t.equal(mergeVotes([2, 2, 2, 2, 1, 1, 3, 3]), undefined)
    t.same(mergeVotes([2, 2, 2, 2, 2, 2, 1, 3]), { odd: 1, votesFor: 6, votesTotal: 8 })
    const a = '"http://photos.example/1/a.jpg",0.1,0.4,0.2,0.6'
    const a2 = '"http://photos.example/1/a.jpg",0.5,0.9,0.2,0.6'
    const b = '"http://photos.example/1/b.jpg",0.1,0.4,0.2,0.6'
    const gone = '"http://photos.example/1/gone.jpg",0.1,0.4,0.2,0.6'
    const votes = (...answers: number[]) => answers.map((v, i) => `42${i},${v}`).join(',')
    const root = t.testdir({
      FEC_dataset: {
        'faceexp-comparison-data-train-public.csv': [
          `${a},${a2},${b},TWO_CLASS_TRIPLET,${votes(3, 3, 3, 3, 3, 3)}`,
          `${a},${b},${a2},ONE_CLASS_TRIPLET,${votes(1, 2, 3, 1, 2, 3)}`,
          `${a},${b},${gone},ONE_CLASS_TRIPLET,${votes(1, 1, 1, 1, 1, 1, 2, 2)}`,
          `${a},${b},ONE_CLASS_TRIPLET,${votes(1)}`,
          '',
        ].join('\n'),
      },
      images: { 'a.jpg': 'x', 'b.jpg': 'x' },
    })
    const { readings, triplets, rejects } = await readFec(await open(root, 'fec'))
    t.equal(readings.filter(reading => 'picture' in reading).length, 3)
    t.match(readings[0], { picture: { box: [0.1, 0.2, 0.4, 0.6], relative: true, label: -1 } })
    t.match(triplets, [{ id: 'fec:train-1', odd: 2, votesFor: 6, votesTotal: 6, split: 'train' }])
    t.equal(triplets.length, 1)
    t.same(rejects, [
      { id: 'fec:train-2', code: 'weak_agreement' },
      {
        ...{ id: 'fec:train-3', code: 'missing_picture' },
        ...{ split: 'train', kind: 'ONE_CLASS_TRIPLET' },
      },
      { id: 'fec:train-4', code: 'bad_row' },
    ])
  },
)

t.test("FEC's lists: rows that are unsound, cut off or of another encoding", async t => {
  const face = (name: string, box = '0.1,0.4,0.2,0.6') => `"http://x.example/${name}.jpg",${box}`
  const rest = (...answers: number[]) =>
    ['ONE_CLASS_TRIPLET', ...answers.map((answer, i) => `42${i},${answer}`)].join(',')
  const row = (first: string, end = rest(2, 2, 2)) => `${first},${face('b')},${face('c')},${end}`
  const list = (text: string | Buffer) => ({ 'faceexp-comparison-data-test-public.csv': text })
  const head = 'url,code,path,sizeBytes\n'
  const root = t.testdir({
    rows: {
      ...list(
        Buffer.concat([
          Buffer.from(
            [
              row(face('a')),
              row(face('a'), rest(4, 4, 4)),
              row(face('a'), rest(0, 2, 2)),
              row(face('a'), 'FOUR_CLASS_TRIPLET,1,2'),
              row(face('a', '0.1,1.4,0.2,0.6')),
              row(face('a', '0.4,0.1,0.2,0.6')),
              row(face('a', 'NaN,0.4,0.2,0.6')),
              row(face('a'), `${rest(2, 2)},429`),
              '',
            ].join('\n'),
          ),
          Buffer.from(`${row(face('\xe9'))}\n`, 'latin1'),
        ]),
      ),
      'fec-images.csv': `${head}"http://x.example/b.jpg",ok,../secret.jpg,1\n`,
      images: { 'a.jpg': 'x', 'c.jpg': 'x' },
    },
    'secret.jpg': 'x',
    wide: list(Buffer.from(row(face('a')), 'utf16le')),
    cut: list(row(face('a')).slice(0, 60)),
  })
  const { triplets, rejects, readings } = await readFec(await open(join(root, 'rows'), 'fec'))
  t.same(triplets, [])
  t.same(
    rejects.map(({ code }) => code),
    ['missing_picture', ...Array.from({ length: 8 }, () => 'bad_row')],
    'the index leads out of the folder: not followed',
  )
  t.equal(readings.filter(reading => 'picture' in reading).length, 2)
  for (const [name, message] of [
    ['wide', /public\.csv: found zero bytes, wanted UTF-8 text; convert it with: iconv/],
    ['cut', /public\.csv: not readable as CSV: Quote Not Closed/],
  ] as const) {
    const source = await open(join(root, name), 'fec')
    await t.rejects(readFec(source), { name: 'FormatError', message })
  }
})

t.test('a folder that is not the corpus says what is missing', async t => {
  const root = t.testdir({ 'other.txt': 'x' })
  const none = { name: 'StageError' }
  await t.rejects(collect(readAffectNet(await open(root, 'affectnet'))), {
    ...none,
    message: /no AffectNet here/,
  })
  await t.rejects(collect(readRafDb(await open(root, 'rafdb'))), {
    ...none,
    message: /no RAF-DB here/,
  })
  await t.rejects(readFec(await open(root, 'fec')), { ...none, message: /no FEC here/ })
  await t.rejects(open(join(root, 'none'), 'fec'), { ...none, message: /no such folder/ })
})

t.test('a CSV that cannot be read or is badly quoted is a FormatError with its path', async t => {
  const root = t.testdir({ 'bad.csv': '"a\nb,c\n' })
  for (const name of ['none.csv', 'bad.csv']) {
    const wanted = { name: 'FormatError', message: new RegExp(name) }
    await t.rejects(collect(readCsv(join(root, name))), wanted)
  }
})

t.test(
  'an index is sorted, survives its file, and a time alone never changes its digest',
  async t => {
    const root = t.testdir({ 'b.txt': 'two', a: { 'z.txt': 'one', 'y.txt': '' } })
    const first = await indexFolder(root, [], silentLog)
    t.same(
      first.files.map(file => [file.path, file.sizeBytes]),
      [
        ['a/y.txt', 0],
        ['a/z.txt', 3],
        ['b.txt', 3],
      ],
    )
    t.same(decodeIndex(Buffer.from(encodeIndex(first.files)), 'index.json'), first.files)
    await utimes(join(root, 'b.txt'), 1, 1)
    const touched = await indexFolder(root, first.files, silentLog)
    t.equal(digestOf(touched.files), digestOf(first.files))
    await writeFile(join(root, 'b.txt'), 'six')
    const changed = await indexFolder(root, touched.files, silentLog)
    t.not(digestOf(changed.files), digestOf(first.files))
  },
)

t.test(
  'what did not change is not read again; links are followed inside the folder only',
  async t => {
    const root = t.testdir({ raw: { 'a.txt': 'one' }, 'secret.txt': 'x' })
    const raw = join(root, 'raw')
    await symlink(join(raw, 'a.txt'), join(raw, 'inside.txt'))
    await symlink(join(root, 'secret.txt'), join(raw, 'outside.txt'))
    await symlink('nowhere', join(raw, 'broken.txt'))
    const first = await indexFolder(raw, [], silentLog)
    t.same(
      first.files.map(file => file.path),
      ['a.txt', 'inside.txt'],
    )
    t.same(first.refused, ['broken.txt', 'outside.txt'])
    // A false digest in the earlier index shows through only where the bytes are not read.
    const forged = first.files.map(file => ({ ...file, sha256: 'kept' }))
    const again = await indexFolder(raw, forged, silentLog)
    t.same(
      again.files.map(file => file.sha256),
      ['kept', 'kept'],
    )
  },
)
