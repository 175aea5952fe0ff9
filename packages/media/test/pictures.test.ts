// tap: test/pictures.test.ts covers src/pictures.ts, src/picture-kinds.ts, src/media-errors.ts
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import sharp from 'sharp'
import t from 'tap'
import {
  codeOf,
  decodeAnimation,
  decodePicture,
  encodeJpeg,
  mirror,
  readPicture,
  resizePicture,
} from '@deepfever/media'
import type { Picture } from '@deepfever/media'

const WIDTH = 48
const HEIGHT = 32

/** Smooth colours, so that JPEG keeps them within a few steps. */
const picture: Picture = {
  width: WIDTH,
  height: HEIGHT,
  data: Uint8Array.from({ length: WIDTH * HEIGHT * 3 }, (_, i) => {
    const [x, y] = [Math.floor(i / 3) % WIDTH, Math.floor(i / 3 / WIDTH)]
    return [x * 5, y * 7, 128][i % 3]!
  }),
}
const raw = () => sharp(picture.data, { raw: { width: WIDTH, height: HEIGHT, channels: 3 } })
const farthest = (a: Uint8Array, b: Uint8Array) =>
  a.reduce((most, value, i) => Math.max(most, Math.abs(value - b[i]!)), 0)

t.test('the four formats become the same RGB', async t => {
  for (const [bytes, off] of [
    [await raw().png().toBuffer(), 0],
    [await raw().webp({ lossless: true }).toBuffer(), 0],
    [await raw().jpeg({ quality: 100, chromaSubsampling: '4:4:4' }).toBuffer(), 4],
    [await raw().gif().toBuffer(), 40],
  ] as const) {
    const decoded = await decodePicture(bytes)
    t.equal(decoded.width, WIDTH)
    t.equal(decoded.height, HEIGHT)
    t.ok(farthest(decoded.data, picture.data) <= off)
  }
})

t.test('grey, 16-bit and CMYK become 8-bit RGB', async t => {
  const grey = await decodePicture(await raw().greyscale().png().toBuffer())
  t.equal(grey.data.length, WIDTH * HEIGHT * 3)
  t.equal(grey.data[30], grey.data[31])
  const deep = await decodePicture(await raw().toColourspace('rgb16').png().toBuffer())
  t.ok(farthest(deep.data, picture.data) <= 1)
  const cmyk = await decodePicture(
    await raw().toColourspace('cmyk').jpeg({ quality: 100 }).toBuffer(),
  )
  t.equal(cmyk.data.length, WIDTH * HEIGHT * 3)
})

t.test('alpha is flattened on black', async t => {
  const clear = sharp({
    create: { width: 4, height: 4, channels: 4, background: { r: 200, g: 100, b: 50, alpha: 0.5 } },
  })
  const { data } = await decodePicture(await clear.png().toBuffer())
  t.ok(farthest(data.subarray(0, 3), Uint8Array.of(100, 50, 25)) <= 2)
})

t.test('a picture is turned as its EXIF orientation says, unless told otherwise', async t => {
  const turned = await raw().withMetadata({ orientation: 6 }).jpeg().toBuffer()
  t.match(await decodePicture(turned), { width: HEIGHT, height: WIDTH })
  t.match(await decodePicture(turned, { upright: false }), { width: WIDTH, height: HEIGHT })
})

t.test('every refusal has a code and names the file', async t => {
  const jpeg = await raw().jpeg({ quality: 100 }).toBuffer()
  const png = await raw().png().toBuffer()
  const broken = Buffer.from(png)
  broken.fill(0x55, 60, 90)
  const cases: [string, Uint8Array, RegExp][] = [
    ['empty_file', new Uint8Array(0), /a\.jpg: the file is empty/],
    [
      'not_a_picture',
      Buffer.from('a text, not a picture'),
      /does not begin as JPEG, PNG, WebP or GIF/,
    ],
    ['unsupported_picture', await raw().tiff().toBuffer(), /a\.jpg: TIFF, expected JPEG, PNG/],
    ['unsupported_picture', Buffer.from('<svg xmlns="http://www.w3.org/2000/svg"/>'), /SVG/],
    ['truncated_picture', jpeg.subarray(0, jpeg.length - 200), /the jpeg ends early/],
    ['truncated_picture', jpeg.subarray(0, 20), /the jpeg ends early/],
    ['truncated_picture', png.subarray(0, png.length - 40), /the png ends early/],
    ['truncated_picture', (await raw().webp().toBuffer()).subarray(0, -20), /the webp ends early/],
    ['damaged_picture', broken, /the png is damaged/],
  ]
  for (const [code, bytes, message] of cases) {
    await t.rejects(decodePicture(bytes, { name: 'a.jpg' }), {
      name: 'PictureError',
      code,
      message,
    })
  }
})

t.test('a picture over the pixel limit is refused before it is decoded', async t => {
  const wide = await sharp({
    create: { width: 12_000, height: 9_000, channels: 3, background: '#123' },
  })
    .png()
    .toBuffer()
  const before = process.memoryUsage().rss
  await t.rejects(decodePicture(wide, { name: 'wide.png' }), {
    code: 'too_many_pixels',
    message: 'wide.png: 12000 x 9000 pixels, at most 100000000 in all are decoded',
  })
  t.ok(process.memoryUsage().rss - before < 100e6)
})

t.test('a file is read by its path and named by it', async t => {
  const dir = t.testdir({ 'empty.png': '' })
  const path = join(dir, 'whole.png')
  await writeFile(path, await raw().png().toBuffer())
  t.same((await readPicture(path)).data, picture.data)
  await t.rejects(readPicture(join(dir, 'empty.png')), {
    code: 'empty_file',
    message: /empty\.png/,
  })
  await t.rejects(readPicture(join(dir, 'none.png')), { code: 'ENOENT' })
  t.ok((await readFile(path)).length > 0)
})

t.test(
  'an animation gives every page and its delay; the first page alone as a picture',
  async t => {
    const twice = Buffer.concat([Buffer.alloc(8 * 8 * 3, 10), Buffer.alloc(8 * 8 * 3, 240)])
    const tall = sharp(twice, { raw: { width: 8, height: 16, channels: 3, pageHeight: 8 } })
    for (const bytes of [
      await tall
        .clone()
        .gif({ delay: [100, 200] })
        .toBuffer(),
      await tall
        .clone()
        .webp({ delay: [100, 200], lossless: true })
        .toBuffer(),
    ]) {
      const { pages, delaysMs } = await decodeAnimation(bytes)
      t.same(delaysMs, [100, 200])
      t.same(
        pages.map(page => [page.width, page.height, page.data[0]! > 128]),
        [
          [8, 8, false],
          [8, 8, true],
        ],
      )
      t.equal((await decodePicture(bytes)).height, 8)
      await t.rejects(decodeAnimation(bytes, { maxPixels: 100 }), { code: 'too_many_pixels' })
    }
    t.match(await decodeAnimation(await raw().png().toBuffer()), { delaysMs: [0] })
  },
)

t.test('a JPEG is the same bytes each time and within two steps of its pixels', async t => {
  const once = await encodeJpeg(picture)
  t.same(await encodeJpeg(picture), once)
  t.match(await sharp(once).metadata(), { chromaSubsampling: '4:4:4', isProgressive: false })
  t.ok(farthest((await decodePicture(once)).data, picture.data) <= 6)
  await t.rejects(encodeJpeg({ ...picture, width: 47 }), {
    name: 'ShapeError',
    message: 'a picture of 47 x 32 takes 4512 bytes of RGB, found 4608',
  })
})

t.test('resizing gives exactly the size asked for', async t => {
  const small = await resizePicture(picture, 12, 20, 'linear')
  t.equal(small.data.length, 12 * 20 * 3)
  t.same((await resizePicture(picture, WIDTH, HEIGHT)).data, picture.data)
})

t.test('mirroring twice is the picture, in new memory', async t => {
  const once = mirror(picture)
  t.same(once.data.subarray(0, 3), picture.data.subarray((WIDTH - 1) * 3, WIDTH * 3))
  t.same(mirror(once).data, picture.data)
})

t.test('codeOf gives the code of bad input and throws on everything else', async t => {
  const refused: unknown = await decodePicture(new Uint8Array(0)).catch((e: unknown) => e)
  t.equal(codeOf(refused), 'empty_file')
  t.throws(() => codeOf(new Error('out of memory')), /out of memory/)
})
