/** The picture formats that are read; every other one is refused before a decoder sees it. */
export type PictureKind = 'jpeg' | 'png' | 'webp' | 'gif'

const text = (bytes: Uint8Array, from: number, to: number): string =>
  Buffer.from(
    bytes.buffer,
    bytes.byteOffset + from,
    Math.max(0, Math.min(to, bytes.length) - from),
  ).toString('latin1')

/** The format of a picture by its first bytes, whatever its name says; undefined for any other. */
export function pictureKindOf(bytes: Uint8Array): PictureKind | undefined {
  if (bytes.length < 12) return undefined
  const head = text(bytes, 0, 12)
  if (head.startsWith('\xff\xd8\xff')) return 'jpeg'
  if (head.startsWith('\x89PNG\r\n\x1a\n')) return 'png'
  if (head.startsWith('GIF87a') || head.startsWith('GIF89a')) return 'gif'
  if (head.startsWith('RIFF') && head.endsWith('WEBP')) return 'webp'
  return undefined
}

/** The name of a picture format that is known and not read, for the error; undefined otherwise. */
export function foreignPictureKindOf(bytes: Uint8Array): string | undefined {
  const head = text(bytes, 0, 256)
  if (head.startsWith('BM')) return 'BMP'
  if (head.startsWith('II*\0') || head.startsWith('MM\0*')) return 'TIFF'
  if (head.startsWith('8BPS')) return 'PSD'
  if (head.startsWith('\0\0\x01\0')) return 'ICO'
  if (head.startsWith('\xff\x0a') || head.startsWith('\0\0\0\x0cJXL ')) return 'JPEG XL'
  if (head.startsWith('\0\0\0\x0cjP  ')) return 'JPEG 2000'
  if (/^....ftyp(heic|heix|mif1|msf1|avif|avis)/s.test(head)) return 'HEIF'
  if (/^\s*<(\?xml|svg|!DOCTYPE svg)/i.test(head)) return 'SVG'
  return undefined
}

/** Whether the file has the end that its format prescribes; a cut-off download has not. */
export function endsWhole(kind: PictureKind, bytes: Uint8Array): boolean {
  const tail = text(bytes, Math.max(0, bytes.length - 4096), bytes.length)
  switch (kind) {
    case 'jpeg':
      return tail.includes('\xff\xd9')
    case 'png':
      return tail.includes('IEND\xae\x42\x60\x82')
    case 'gif':
      return tail.replace(/\0+$/, '').endsWith(';')
    case 'webp':
      return new DataView(bytes.buffer, bytes.byteOffset).getUint32(4, true) + 8 <= bytes.length
  }
}
