/** Which frames of a clip are taken. */
export interface Selection {
  /** rate: `fps` a second; key: key frames; uniform: `count`, evenly spread; times: at `times` */
  readonly select: 'rate' | 'key' | 'uniform' | 'times'
  readonly fps: number
  readonly count: number
  /** seconds from the clip's first frame, ascending */
  readonly times: readonly number[]
}

/**
 * The moments of a selection as a count: a frame is taken when more moments have come up to it than
 * up to the frame taken before. So each moment takes the first frame at or after it.
 */
export interface Moments {
  /** moments up to `seconds` */
  countAt(seconds: number): number
  /** the same as an expression of ffmpeg */
  expressionAt(seconds: string): string
  /** longest time between two moments, seconds */
  readonly longestGap: number
}

/** Half a millisecond: containers that count in milliseconds round a moment down. */
const SLACK = 0.0005

/**
 * The moments of a selection; undefined for key frames, which the stream itself names.
 *
 * @param duration seconds, for `uniform`
 */
export function momentsOf(selection: Selection, duration: number): Moments | undefined {
  const { select, fps, count, times } = selection
  if (select === 'key') return undefined
  if (select === 'rate')
    return {
      countAt: t => Math.floor((t + SLACK) * fps) + 1,
      expressionAt: t => `floor((${t}+${SLACK})*${fps})+1`,
      longestGap: 1 / fps,
    }
  if (select === 'uniform') {
    const scale = count / Math.max(duration, SLACK)
    return {
      countAt: t => Math.min(count, Math.floor((t + SLACK) * scale + 0.5)),
      expressionAt: t => `min(${count},floor((${t}+${SLACK})*${scale}+0.5))`,
      longestGap: 1 / scale,
    }
  }
  return {
    countAt: t => times.filter(time => time <= t + SLACK).length,
    expressionAt: t => times.map(time => `gte(${t}+${SLACK},${time})`).join('+'),
    longestGap: Math.max(0, ...times.map((time, i) => time - (times[i - 1] ?? 0))),
  }
}
