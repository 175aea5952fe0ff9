import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { connect, createServer, type OnReadOpts, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** What a Unix socket holds by Linux's standard: a larger piece does not come. */
const BUFFER_BYTES = 208 * 2 ** 10

/** A child's output. */
export interface WidePipe {
  /** for the child's `stdio`; destroyed by who starts it, so that the end is noticed */
  readonly childEnd: Socket
  /** what the child writes, piece by piece; a piece is valid until the next is asked for */
  pieces(): AsyncGenerator<Uint8Array, void>
  destroy(): void
}

/**
 * Opens a pipe that is read into one piece of memory. A child's own pipe comes in new memory of 64
 * KiB a piece, which for raw pictures costs as much to collect as to read.
 */
export async function openWidePipe(): Promise<WidePipe> {
  const buffer = Buffer.allocUnsafeSlow(BUFFER_BYTES)
  let length = 0
  let ended = false
  let wake = () => {}
  const onread: OnReadOpts = {
    buffer,
    callback(sizeBytes) {
      length = sizeBytes
      wake()
      // Reading goes on once the piece is used.
      return false
    },
  }
  const end = () => {
    ended = true
    wake()
  }
  // Only its owner can enter the folder, so nobody else can connect.
  const folder = await mkdtemp(join(tmpdir(), 'deepfever-'))
  const server = createServer({ pauseOnConnect: true })
  let reader: Socket
  let childEnd: Socket
  try {
    const path = join(folder, 'pipe')
    await once(server.listen(path), 'listening')
    reader = connect({ path, onread })
    reader.on('end', end).on('error', end).on('close', end)
    ;[childEnd] = (await once(server, 'connection')) as [Socket]
  } finally {
    server.close()
    await rm(folder, { recursive: true })
  }
  return {
    childEnd,
    async *pieces() {
      for (;;) {
        if (length === 0 && !ended) await new Promise<void>(resolve => (wake = resolve))
        if (length === 0) return
        yield buffer.subarray(0, length)
        length = 0
        reader.resume()
      }
    },
    destroy: () => reader.destroy(),
  }
}
