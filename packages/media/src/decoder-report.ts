/** When a frame is shown, and whether the decoder had reported no error before it came. */
interface Said {
  readonly ptsUs: number
  readonly clean: boolean
}

/** What ffmpeg says while it decodes. */
export interface DecoderReport {
  readonly onMessage: (line: string) => void
  readonly errors: readonly string[]
  /** What is said of a frame, by its number in the output. */
  frameAt(index: number): Said | Promise<Said>
}

/**
 * Follows `showinfo` and errors of a decoder.
 *
 * @param rate frames a second of a stream without timestamps
 * @param stepOf microseconds from the last frame before a change of size to the first after it
 */
export function followDecoder(rate: number, stepOf: () => number): DecoderReport {
  const frames: Said[] = []
  const errors: string[] = []
  let start = 0
  const waiting = new Map<number, (said: Said) => void>()
  return {
    errors,
    onMessage(line) {
      const found = /Parsed_showinfo.* n: *(\d+) pts: *(\S+)/.exec(line)
      if (!found) {
        if (/\[(error|fatal)\]/.test(line)) errors.push(line)
        return
      }
      // A clip that changes its size half-way makes the filters start again, from time 0.
      if (found[1] === '0' && frames.length > 0) start = frames.at(-1)!.ptsUs + stepOf()
      const time = Number(found[2])
      // A stream without timestamps (NOPTS) is taken to run at the asked rate.
      const ptsUs = Number.isFinite(time) ? start + time : Math.round((frames.length * 1e6) / rate)
      const said = { ptsUs, clean: errors.length === 0 }
      waiting.get(frames.push(said) - 1)?.(said)
      waiting.delete(frames.length - 1)
    },
    frameAt: index => frames[index] ?? new Promise<Said>(resolve => waiting.set(index, resolve)),
  }
}
