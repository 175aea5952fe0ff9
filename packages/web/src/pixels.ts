import type { Picture } from '@deepfever/media'

/** Decodes a picture file as it is stored, upright, without colour conversion, on black. */
export const decodeFile = (file: Blob): Promise<ImageBitmap> =>
  createImageBitmap(file, { colorSpaceConversion: 'none', imageOrientation: 'from-image' })

/** RGB pixels of anything that can be drawn. */
export function toPicture(source: CanvasImageSource, width: number, height: number): Picture {
  const canvas = new OffscreenCanvas(width, height)
  const context = canvas.getContext('2d', { alpha: false, willReadFrequently: true })!
  context.drawImage(source, 0, 0, width, height)
  const rgba = context.getImageData(0, 0, width, height).data
  const data = new Uint8Array(width * height * 3)
  for (let from = 0, to = 0; from < rgba.length; from += 4, to += 3) {
    data[to] = rgba[from]!
    data[to + 1] = rgba[from + 1]!
    data[to + 2] = rgba[from + 2]!
  }
  return { data, width, height }
}

/** A canvas with a picture's pixels. */
export function toCanvas({ data, width, height }: Picture): HTMLCanvasElement {
  const canvas = document.createElement('canvas')
  canvas.width = width
  canvas.height = height
  const image = new ImageData(width, height)
  for (let from = 0, to = 0; from < data.length; from += 3, to += 4) {
    image.data.set(data.subarray(from, from + 3), to)
    image.data[to + 3] = 255
  }
  canvas.getContext('2d')!.putImageData(image, 0, 0)
  return canvas
}
