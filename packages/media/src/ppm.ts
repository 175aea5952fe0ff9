import { FormatError } from '@deepfever/core'
import type { Picture } from './pictures.ts'

const HEADER = /^P6\n(\d+) (\d+)\n255\n/
/** Longer than any header of a picture that is decoded. */
const HEADER_LIMIT = 32

/**
 * Splits a stream of concatenated PPM pictures (`P6`, 8 bits). The size stands in every picture,
 * so a clip that changes its size is read as it is.
 *
 * @param memoryOf gives the bytes for a picture's pixels, which are all written
 * @throws FormatError when the stream is no PPM or ends inside a picture
 */
export async function* readPpm(
  stream: AsyncIterable<Uint8Array>,
  place: string,
  memoryOf: (sizeBytes: number) => Uint8Array = size => Buffer.allocUnsafeSlow(size),
): AsyncGenerator<Picture> {
  let head = Buffer.alloc(0)
  let picture: { width: number; height: number; data: Uint8Array } | undefined
  let filled = 0
  /** bytes since the end of the last picture */
  let length = 0
  for await (const chunk of stream) {
    let rest = chunk
    length += chunk.length
    while (rest.length > 0) {
      if (!picture) {
        // A header may lie across chunks: what is there of it is looked at with what follows.
        const joined = Buffer.concat([head, rest.subarray(0, HEADER_LIMIT)])
        const found = HEADER.exec(joined.toString('latin1'))
        if (!found && joined.length >= HEADER_LIMIT)
          throw new FormatError(`${place}: the decoder's output is no PPM picture`, { place })
        if (!found) {
          head = joined
          break
        }
        rest = rest.subarray(found[0].length - head.length)
        head = Buffer.alloc(0)
        const [width, height] = [Number(found[1]), Number(found[2])]
        picture = { width, height, data: memoryOf(3 * width * height) }
        filled = 0
      }
      const part = rest.subarray(0, picture.data.length - filled)
      picture.data.set(part, filled)
      filled += part.length
      rest = rest.subarray(part.length)
      if (filled < picture.data.length) continue
      yield picture
      picture = undefined
      length = rest.length
    }
  }
  if (length > 0)
    throw new FormatError(`${place}: the decoder's output ends ${length} bytes into a picture`, {
      place,
    })
}
