/** Size and number of colour components of a JPEG. */
interface JpegShape {
  readonly width: number
  readonly height: number
  readonly components: number
}

const START = 0xffd8
/** Markers that begin a frame: C0 to CF without DHT, JPG and DAC. */
const isFrame = (marker: number): boolean =>
  marker >= 0xffc0 && marker <= 0xffcf && ![0xffc4, 0xffc8, 0xffcc].includes(marker)

/**
 * What the header of a JPEG says, without decoding it; undefined where the bytes are none, or fill
 * their gaps in ways that only a decoder reads.
 */
export function jpegShapeOf(bytes: Uint8Array): JpegShape | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  if (bytes.length < 4 || view.getUint16(0) !== START) return undefined
  for (let at = 2; at + 10 <= bytes.length; at += 2 + view.getUint16(at + 2)) {
    const marker = view.getUint16(at)
    if (marker < 0xffc0) return undefined
    if (isFrame(marker))
      return {
        height: view.getUint16(at + 5),
        width: view.getUint16(at + 7),
        components: bytes[at + 9]!,
      }
  }
  return undefined
}
