import { open } from 'node:fs/promises'
import { FormatError } from '@deepfever/core'
import { readCsv } from '@deepfever/formats'

const HEAD_BYTES = 4096

/**
 * Rows of a corpus's CSV list as text cells.
 *
 * @throws FormatError when the list is no UTF-8 text or its quoting is broken, as where it is cut off
 */
export async function* readList(place: string): AsyncGenerator<readonly string[]> {
  await refuseWideText(place)
  yield* readCsv(place)
}

/** UTF-16 and binary files hold zero bytes; as UTF-8 they would read as rows of rubbish. */
export async function refuseWideText(place: string): Promise<void> {
  const file = await open(place, 'r')
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(HEAD_BYTES), 0, HEAD_BYTES, 0)
    const head = buffer.subarray(0, bytesRead)
    const wide = ['fffe', 'feff'].includes(head.subarray(0, 2).toString('hex'))
    if (wide || head.includes(0))
      throw new FormatError(
        `${place}: found ${wide ? 'UTF-16 text' : 'zero bytes'}, wanted UTF-8 text; convert it with: iconv -f UTF-16 -t UTF-8`,
        { place, found: wide ? 'UTF-16' : 'zero bytes', wanted: 'UTF-8' },
      )
  } finally {
    await file.close()
  }
}

/** Whether a cell held bytes that are no UTF-8. */
export const isGarbled = (cells: readonly string[]): boolean =>
  cells.some(cell => cell.includes('\ufffd'))

/** Whether a listed path is absolute or climbs out of its folder. */
export const leavesFolder = (path: string): boolean =>
  /^(?:[/\\]|[A-Za-z]:)/.test(path) || path.split(/[/\\]/).includes('..')
