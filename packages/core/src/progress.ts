import type { Writable } from 'node:stream'

/** A running count of work. */
export interface Progress {
  /** `facts` are shown beside the count until others come */
  advance(count?: number, facts?: Readonly<Record<string, number>>): void
  /** Ends the bar; says the rate it reached. */
  done(): void
}

const REDRAW_MS = 100
const REPORT_MS = 10_000
const WIDTH = 24

/** `75` → `1:15`; hours only where there are any. */
export function toClock(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds))
  const [h, m, s] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60]
  const pad = (n: number) => String(n).padStart(2, '0')
  return h > 0 ? `${h}:${pad(m)}:${pad(s)}` : `${m}:${pad(s)}`
}

/**
 * Counts work against `total` (unknown: no bar, no time left).
 *
 * @param terminal where the bar is redrawn; without one, `report` is called every 10 s
 */
export function openBar(
  label: string,
  total: number | undefined,
  terminal: Writable | undefined,
  report: (fields: Readonly<Record<string, unknown>>) => void,
): Progress {
  const start = Date.now()
  let count = 0
  let last = start
  let facts: Readonly<Record<string, number>> = {}
  const rate = () => count / Math.max(0.001, (Date.now() - start) / 1000)
  const left = () => (total === undefined ? undefined : (total - count) / Math.max(1e-9, rate()))
  const draw = () => {
    const filled = total ? Math.min(WIDTH, Math.round((count / total) * WIDTH)) : 0
    const bar = total === undefined ? '' : ` ${'━'.repeat(filled)}${'─'.repeat(WIDTH - filled)}`
    const of = total === undefined ? `${count}` : `${count}/${total}`
    const time = total === undefined ? '' : `, ${toClock(left() ?? 0)} left`
    const shown = Object.entries(facts).map(([name, value]) => ` ${name} ${value}`)
    terminal?.write(`\r\x1b[K${label}${bar} ${of} (${rate().toFixed(1)}/s${time})${shown.join('')}`)
  }
  const fields = () => ({ label, count, ...(total !== undefined && { total }), ...facts })
  return {
    advance(step = 1, told = facts) {
      count += step
      facts = told
      const now = Date.now()
      if (now - last < (terminal ? REDRAW_MS : REPORT_MS)) return
      last = now
      if (terminal) draw()
      else
        report({ ...fields(), perSecond: +rate().toFixed(1), secondsLeft: Math.round(left() ?? 0) })
    },
    done() {
      if (terminal) {
        draw()
        terminal.write('\n')
      } else if (Date.now() - start > REPORT_MS) {
        report({ ...fields(), perSecond: +rate().toFixed(1), done: true })
      }
    },
  }
}
