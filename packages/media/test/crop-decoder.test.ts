// tap: test/crop-decoder.test.ts covers src/crop-decoder.ts, src/jpeg-shape.ts
import { openRandom } from '@deepfever/core'
import sharp from 'sharp'
import t from 'tap'
import { decodeCrop, encodeJpeg, jpegShapeOf, openCropDecoder } from '../src/index.ts'

const draw = (width: number, height: number, name: string) => {
  const random = openRandom(name)
  const wave = random.next()
  const data = Uint8Array.from({ length: width * height * 3 }, (_, i) =>
    Math.round(127 + 100 * Math.sin((wave * i) / 50) + 27 * random.next()),
  )
  return { width, height, data }
}

t.test("pixels are sharp's, bit for bit", async t => {
  const decode = await openCropDecoder()
  for (let i = 0; i < 20; i++) {
    const picture = draw(140, 140, `crop ${i}`)
    const stored = await encodeJpeg(picture, 50 + 2 * i)
    t.same(
      Buffer.from((await decode(stored, 140)).data),
      Buffer.from((await decodeCrop(stored, 140)).data),
    )
  }
})

t.test("what is no colour JPEG takes sharp's way", async t => {
  const decode = await openCropDecoder()
  const stored = await encodeJpeg(draw(140, 140, 'large'))
  t.same((await decode(stored, 70)).data, (await decodeCrop(stored, 70)).data)
  const { data, ...info } = draw(140, 140, 'png')
  const png = await sharp(data, { raw: { ...info, channels: 3 } })
    .png()
    .toBuffer()
  t.same(Buffer.from((await decode(png, 140)).data), Buffer.from(data))
  const grey = await sharp(stored).greyscale().jpeg().toBuffer()
  t.equal((await decode(grey, 140)).data.length, 3 * 140 * 140)
  await t.rejects(decode(new Uint8Array(), 140), { code: 'empty_file' })
  await t.rejects(decode(stored.subarray(0, stored.length - 2000), 140), {
    code: 'truncated_picture',
  })
  t.same(
    Buffer.from((await decode(stored, 140)).data),
    Buffer.from((await decodeCrop(stored, 140)).data),
    'and goes on',
  )
})

t.test('the header of a JPEG says its shape', async t => {
  const picture = draw(20, 30, 'header')
  const { data, ...info } = picture
  const raw = () => sharp(data, { raw: { ...info, channels: 3 } })
  const shape = { width: 20, height: 30, components: 3 }
  t.same(jpegShapeOf(await encodeJpeg(picture)), shape)
  const exif = { IFD0: { Copyright: 'nobody' } }
  t.same(jpegShapeOf(await raw().withExif(exif).jpeg({ progressive: true }).toBuffer()), shape)
  t.same(jpegShapeOf(await raw().toColourspace('b-w').jpeg().toBuffer()), {
    ...shape,
    components: 1,
  })
  const stored = await encodeJpeg(picture)
  t.equal(jpegShapeOf(await raw().png().toBuffer()), undefined)
  for (const length of [0, 3, 20, 100]) t.equal(jpegShapeOf(stored.subarray(0, length)), undefined)
  t.equal(jpegShapeOf(stored.fill(0, 2)), undefined)
})
