import { open } from 'node:fs/promises'
import { ShapeError, messageOf } from '@deepfever/core'
import sharp from 'sharp'
import type { Sharp } from 'sharp'
import { PictureError } from './media-errors.ts'
import { endsWhole, foreignPictureKindOf, pictureKindOf } from './picture-kinds.ts'
import type { PictureKind } from './picture-kinds.ts'

// One thread a picture: callers run several side by side. A cache would only hold memory, since no
// picture is read twice. Both are settings of the process, so they are made where sharp is loaded.
sharp.cache(false)
sharp.concurrency(1)

/** 8-bit RGB pixels, rows from the top: `data` holds width * height * 3 bytes. */
export interface Picture {
  readonly width: number
  readonly height: number
  readonly data: Uint8Array
}

/** The name in errors and the bounds of decoding. */
export interface DecodeOptions {
  readonly name?: string
  /** width * height, over all pages of an animation; default 100 million (300 MB of RGB) */
  readonly maxPixels?: number
  /** turns the picture as its EXIF orientation says; default true */
  readonly upright?: boolean
}

const MAX_PIXELS = 100e6
const MAX_BYTES = 256 * 2 ** 20
const ALL_PAGES = -1

/**
 * Decodes a JPEG, PNG, WebP or GIF (the first page of an animation) to 8-bit RGB. Grey, CMYK,
 * palette and 16-bit pictures are converted; embedded RGB profiles are ignored, as in the loaders
 * that published networks were trained with. Alpha is flattened on black, which is also what
 * stands beyond the edge of a crop.
 *
 * @throws PictureError with a stable `code`
 */
export async function decodePicture(
  bytes: Uint8Array,
  { name = 'picture', maxPixels = MAX_PIXELS, upright = true }: DecodeOptions = {},
): Promise<Picture> {
  const kind = await checkPicture(bytes, name, maxPixels, 1)
  return coded(kind, bytes, name, async () => {
    const { data, info } = await toRgb(openPicture(bytes, maxPixels, 1, upright))
    return { width: info.width, height: info.height, data: asBytes(data) }
  })
}

/** Reads and decodes a picture file of at most 256 MiB; see `decodePicture`. */
export async function readPicture(
  path: string,
  options: Omit<DecodeOptions, 'name'> = {},
): Promise<Picture> {
  const file = await open(path, 'r')
  try {
    const { size } = await file.stat()
    if (size > MAX_BYTES) {
      throw new PictureError(
        'too_many_bytes',
        `${path}: the file has ${size} bytes, at most ${MAX_BYTES} are read`,
        { path, found: size, wanted: MAX_BYTES },
      )
    }
    return await decodePicture(await file.readFile(), { ...options, name: path })
  } finally {
    await file.close()
  }
}

/** The pages of an animation, each drawn in full, with the time each is shown. */
export interface Animation {
  readonly pages: readonly Picture[]
  readonly delaysMs: readonly number[]
}

/**
 * Decodes every page of an animated GIF or WebP; a still picture is one page of 0 ms.
 *
 * @throws PictureError with a stable `code`
 */
export async function decodeAnimation(
  bytes: Uint8Array,
  { name = 'animation', maxPixels = MAX_PIXELS, upright = true }: DecodeOptions = {},
): Promise<Animation> {
  const kind = await checkPicture(bytes, name, maxPixels, ALL_PAGES)
  return coded(kind, bytes, name, async () => {
    const { pages = 1, delay = [] } = await openPicture(bytes, false, ALL_PAGES, false).metadata()
    const still = pages === 1
    const opened = openPicture(bytes, maxPixels, still ? 1 : ALL_PAGES, still && upright)
    const { data, info } = await toRgb(opened)
    const height = info.height / pages
    const pageBytes = info.width * height * 3
    return {
      pages: Array.from({ length: pages }, (_, i) => ({
        width: info.width,
        height,
        data: asBytes(data.subarray(i * pageBytes, (i + 1) * pageBytes)),
      })),
      delaysMs: Array.from({ length: pages }, (_, i) => delay[i] ?? 0),
    }
  })
}

/**
 * Encodes RGB as a baseline JPEG, 4:4:4, without metadata: the same bytes for the same pixels.
 *
 * @param effort `fast` takes a third of the time and 6 % more bytes; it decodes to the same pixels
 */
export async function encodeJpeg(
  picture: Picture,
  quality = 95,
  effort: 'small' | 'fast' = 'small',
): Promise<Uint8Array> {
  const optimiseCoding = effort === 'small'
  const encoded = rawOf(picture).jpeg({ quality, optimiseCoding, chromaSubsampling: '4:4:4' })
  return asBytes(await encoded.toBuffer())
}

/** Resizes to exactly width x height, whatever the proportions; antialiased when shrinking. */
export async function resizePicture(
  picture: Picture,
  width: number,
  height: number,
  kernel: 'nearest' | 'linear' | 'cubic' | 'lanczos3' = 'lanczos3',
): Promise<Picture> {
  const resized = rawOf(picture).resize({ width, height, fit: 'fill', kernel })
  return { width, height, data: asBytes(await resized.raw().toBuffer()) }
}

/**
 * Draws an SVG of the program's own making as RGB. Files of others are never read as SVG: it may
 * name other files.
 *
 * @param blurPx standard deviation of a blur over the drawing; 0 for none
 */
export async function renderSvg(svg: string, blurPx = 0): Promise<Picture> {
  const drawn = sharp(Buffer.from(svg)).removeAlpha().toColourspace('srgb')
  const { data, info } = await (blurPx > 0 ? drawn.blur(blurPx) : drawn)
    .raw()
    .toBuffer({ resolveWithObject: true })
  return { width: info.width, height: info.height, data: asBytes(data) }
}

/** The picture with an SVG of the program's own making, of the same size, drawn over it. */
export async function overlaySvg(picture: Picture, svg: string): Promise<Picture> {
  const { width, height } = picture
  const drawn = rawOf(picture)
    .composite([{ input: Buffer.from(svg) }])
    .removeAlpha()
  return { width, height, data: asBytes(await drawn.raw().toBuffer()) }
}

/**
 * Decodes a stored face crop at the side that a network wants; one of another side is resized with
 * a triangle filter, as crops are cut.
 */
export async function decodeCrop(bytes: Uint8Array, side: number): Promise<Picture> {
  const picture = await decodePicture(bytes)
  const fits = picture.width === side && picture.height === side
  return fits ? picture : resizePicture(picture, side, side, 'linear')
}

/** The picture with left and right exchanged, in memory of its own. */
export function mirror({ width, height, data }: Picture): Picture {
  const mirrored = new Uint8Array(data.length)
  for (let y = 0; y < height; y++) {
    const row = y * width * 3
    for (let x = 0; x < width; x++) {
      const from = row + x * 3
      const to = row + (width - 1 - x) * 3
      mirrored[to] = data[from]!
      mirrored[to + 1] = data[from + 1]!
      mirrored[to + 2] = data[from + 2]!
    }
  }
  return { width, height, data: mirrored }
}

async function checkPicture(
  bytes: Uint8Array,
  name: string,
  maxPixels: number,
  pages: number,
): Promise<PictureKind> {
  if (bytes.length === 0)
    throw new PictureError('empty_file', `${name}: the file is empty`, { name })
  const kind = pictureKindOf(bytes)
  if (kind === undefined) {
    const found = foreignPictureKindOf(bytes)
    const wanted = 'JPEG, PNG, WebP or GIF'
    throw found === undefined
      ? new PictureError('not_a_picture', `${name}: does not begin as ${wanted}`, { name, wanted })
      : new PictureError(
          'unsupported_picture',
          `${name}: ${found}, expected ${wanted}; convert it`,
          {
            ...{ name, found, wanted },
          },
        )
  }
  const { format, width, height } = await coded(kind, bytes, name, () =>
    openPicture(bytes, false, pages, false).metadata(),
  )
  if (format !== kind) {
    throw new PictureError('damaged_picture', `${name}: begins as ${kind}, decodes as ${format}`, {
      ...{ name, found: format, wanted: kind },
    })
  }
  if (width * height > maxPixels) {
    throw new PictureError(
      'too_many_pixels',
      `${name}: ${width} x ${height} pixels, at most ${maxPixels} in all are decoded`,
      { name, found: width * height, wanted: maxPixels },
    )
  }
  return kind
}

/** Runs a decoder call; whatever it throws becomes a coded error. */
async function coded<T>(
  kind: PictureKind,
  bytes: Uint8Array,
  name: string,
  run: () => Promise<T>,
): Promise<T> {
  try {
    return await run()
  } catch (thrown) {
    const code = endsWhole(kind, bytes) ? 'damaged_picture' : 'truncated_picture'
    const what = code === 'damaged_picture' ? 'is damaged' : 'ends early'
    const said = messageOf(thrown).split('\n', 1)[0]!.trim()
    throw new PictureError(code, `${name}: the ${kind} ${what} (${said})`, { name }, thrown)
  }
}

const openPicture = (
  bytes: Uint8Array,
  limitInputPixels: number | false,
  pages: number,
  autoOrient: boolean,
): Sharp =>
  sharp(bytes, {
    // `warning` would refuse pictures over a stray byte between markers, which cameras write.
    failOn: 'error',
    limitInputPixels,
    pages,
    autoOrient,
    ignoreIcc: true,
    sequentialRead: true,
  })

const toRgb = (picture: Sharp) =>
  picture
    .flatten({ background: '#000' })
    .toColourspace('srgb')
    .raw({ depth: 'uchar' })
    .toBuffer({ resolveWithObject: true })

function rawOf({ width, height, data }: Picture): Sharp {
  const wanted = width * height * 3
  if (data.length !== wanted) {
    throw new ShapeError(
      `a picture of ${width} x ${height} takes ${wanted} bytes of RGB, found ${data.length}`,
      { found: data.length, wanted },
    )
  }
  return sharp(data, { raw: { width, height, channels: 3 } })
}

const asBytes = (data: Buffer): Uint8Array =>
  new Uint8Array(data.buffer, data.byteOffset, data.length)
