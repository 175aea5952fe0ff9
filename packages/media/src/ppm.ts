import { FormatError } from '@deepfever/core'
import type { Picture } from './pictures.ts'

const HEADER = /^P6\n(\d+) (\d+)\n255\n/

/**
 * Splits a stream of concatenated PPM pictures (`P6`, 8 bits). The size stands in every picture,
 * so a clip that changes its size is read as it is.
 *
 * @throws FormatError when the stream is no PPM or ends inside a picture
 */
export async function* readPpm(
  stream: AsyncIterable<Uint8Array>,
  place: string,
): AsyncGenerator<Picture> {
  let chunks: Uint8Array[] = []
  let length = 0
  const take = (count: number): Buffer => {
    const all =
      chunks.length === 1
        ? Buffer.from(chunks[0]!.buffer, chunks[0]!.byteOffset, length)
        : Buffer.concat(chunks)
    chunks = [all.subarray(count)]
    length -= count
    return all.subarray(0, count)
  }
  let header: { bytes: number; width: number; height: number } | undefined
  for await (const chunk of stream) {
    chunks.push(chunk)
    length += chunk.length
    for (;;) {
      if (!header) {
        const joined = chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks)
        chunks = [joined]
        const found = HEADER.exec(
          Buffer.from(joined.buffer, joined.byteOffset, Math.min(32, length)).toString('latin1'),
        )
        if (!found && length < 32) break
        if (!found)
          throw new FormatError(`${place}: the decoder's output is no PPM picture`, { place })
        header = { bytes: found[0].length, width: Number(found[1]), height: Number(found[2]) }
      }
      const { bytes, width, height } = header
      const sizeBytes = bytes + 3 * width * height
      if (length < sizeBytes) break
      yield { data: take(sizeBytes).subarray(bytes), width, height }
      header = undefined
    }
  }
  if (length > 0)
    throw new FormatError(`${place}: the decoder's output ends ${length} bytes into a picture`, {
      place,
    })
}
