// tap: test/demo.test.ts covers src/demo/demo.ts, src/demo/clips.ts, src/demo/affectnet-set.ts, src/demo/rafdb-set.ts, src/demo/fec-set.ts, src/demo/scene.ts, src/demo/face-drawing.ts, src/demo/expression.ts, src/demo/identity.ts
import { createHash } from 'node:crypto'
import { readFile, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { openRandom, silentLog } from '@deepfever/core'
import { decodeNpy } from '@deepfever/formats'
import { findFfmpeg, probeClip, readPicture } from '@deepfever/media'
import { drawAffectNet } from '../src/demo/affectnet-set.ts'
import { drawExpression, expressionDistance, expressionNames } from '../src/demo/expression.ts'
import { drawDemo } from '../src/demo/index.ts'
import { drawNoise } from '../src/demo/scene.ts'

const sizes = {
  ...{ affectnetTrain: 16, affectnetVal: 8, rafdbTrain: 14, rafdbTest: 7 },
  ...{ fecPhotos: 24, fecTrain: 40, fecTest: 20 },
}
const out = t.testdir({})
const ffmpeg = await findFfmpeg()
const counted = await drawDemo({ out, seed: 1, sizes, ffmpeg, log: silentLog })
const linesOf = async (path: string) => (await readFile(join(out, path), 'utf8')).split('\n')

t.test('six whole clips and three that are broken, each with its code', async t => {
  const clips = (await readdir(join(out, 'videos'))).sort()
  t.equal(clips.length, 9)
  for (const name of clips.filter(clip => !clip.startsWith('broken'))) {
    const info = await probeClip(join(out, 'videos', name), ffmpeg)
    t.match(info, { width: 480, height: 360, fps: 12, codec: 'h264' }, name)
    t.ok(info.durationUs! >= 3e6 && info.durationUs! <= 5e6)
  }
  for (const [name, code] of [
    ['broken-empty.mp4', 'empty_file'],
    ['broken-text.mp4', 'undecodable_clip'],
    ['broken-cut.mp4', 'undecodable_clip'],
  ] as const) {
    await t.rejects(probeClip(join(out, 'videos', name), ffmpeg), { code }, name)
  }
})

t.test('AffectNet: a picture and a 0-d text label an id, all classes', async t => {
  const images = await readdir(join(out, 'affectnet/train_set/images'))
  t.equal(images.length, sizes.affectnetTrain)
  t.equal((await readdir(join(out, 'affectnet/val_set/images'))).length, sizes.affectnetVal)
  const labels = new Set<string>()
  for (const image of images) {
    const place = join(out, 'affectnet/train_set/annotations', image.replace('.jpg', ''))
    const { shape, values } = decodeNpy(await readFile(`${place}_exp.npy`), place)
    t.same(shape, [])
    labels.add(String(values[0]))
  }
  t.same([...labels].sort(), [...'01234567'])
  t.match(await readPicture(join(out, 'affectnet/train_set/images', images[0]!)), {
    width: 124,
    height: 160,
  })
})

t.test('RAF-DB: the list names every aligned picture and has no last newline', async t => {
  const lines = await linesOf('rafdb/EmoLabel/list_patition_label.txt')
  t.equal(lines.length, sizes.rafdbTrain + sizes.rafdbTest)
  t.match(lines[0], /^train_00001\.jpg [1-7]$/)
  t.match(lines.at(-1), /^test_0007\.jpg [1-7]$/)
  const pictures = new Set(await readdir(join(out, 'rafdb/Image/aligned')))
  t.ok(lines.every(line => pictures.has(line.replace(/\.jpg .*/, '_aligned.jpg'))))
})

t.test('FEC: rows of six votes and more, weak ones among them, splits apart', async t => {
  const pictures = new Set(await readdir(join(out, 'fec/images')))
  const urls: Record<string, Set<string>> = { train: new Set(), test: new Set() }
  let [weak, long] = [0, 0]
  for (const split of ['train', 'test'] as const) {
    const lines = await linesOf(`fec/FEC_dataset/faceexp-comparison-data-${split}-public.csv`)
    t.equal(lines.pop(), '')
    for (const line of lines) {
      const cells = line.split(',')
      for (const at of [0, 5, 10]) {
        const url = cells[at]!.replaceAll('"', '')
        urls[split]!.add(url)
        t.ok(pictures.has(url.split('/').at(-1)!))
        const [left, right, top, bottom] = cells.slice(at + 1, at + 5).map(Number)
        t.ok(0 <= left! && left! < right! && right! <= 1 && 0 <= top! && top! < bottom!)
      }
      t.match(cells[15], /^(ONE|TWO|THREE)_CLASS_TRIPLET$/)
      const votes = cells.slice(16).filter((_, i) => i % 2 === 1)
      const most = Math.max(...['1', '2', '3'].map(v => votes.filter(vote => vote === v).length))
      if (votes.length > 6) long++
      if (3 * most < 2 * votes.length) weak++
    }
    if (split === 'train') {
      const cells = lines[0]!.split(',')
      t.equal(new Set([cells[0], cells[5], cells[10]]).size, 2, 'one photograph, two boxes')
      t.equal(new Set([cells[1], cells[6], cells[11]]).size, 3)
    }
  }
  t.equal(long, 3)
  t.ok(weak > 0 && weak < 24)
  t.notOk([...urls['train']!].some(url => urls['test']!.has(url)))
})

t.test('the same seed gives the same bytes, another seed others', async t => {
  const digest = async (seed: number) => {
    const hash = createHash('sha256')
    const noise = drawNoise(openRandom(`${seed}/noise`))
    for await (const file of drawAffectNet(seed, { train: 4, val: 0 }, noise)) {
      hash.update(file.path).update(file.bytes)
    }
    return hash.digest('hex')
  }
  t.equal(await digest(1), await digest(1))
  t.not(await digest(1), await digest(2))
  t.ok(counted.files > 100)
})

t.test('expressions of one class are nearer to each other than to other classes', t => {
  const random = openRandom('distance')
  const drawn = expressionNames.map((_, label) =>
    Array.from({ length: 20 }, () => drawExpression(label, random)),
  )
  const mean = (a: number, b: number) =>
    drawn[a]!.reduce((sum, e, i) => sum + expressionDistance(e, drawn[b]![(i + 1) % 20]!), 0) / 20
  for (const [a] of drawn.entries()) {
    for (const [b] of drawn.entries()) if (a !== b) t.ok(mean(a, a) < mean(a, b), `${a} ${b}`)
  }
  t.end()
})
