import type { Writable } from 'node:stream'
import { openBar, type Progress } from './progress.ts'

/** What a stage says while it runs; nothing else writes to the terminal. */
export interface Log {
  /** Something happened: `name key=value …` on a terminal, one JSON line otherwise. */
  event(name: string, fields?: Readonly<Record<string, unknown>>): void
  /** Something a user should see, without stopping. */
  warn(message: string, fields?: Readonly<Record<string, unknown>>): void
  /** Opens a bar with rate and time left; on anything but a terminal, an event every 10 s. */
  progress(label: string, total?: number): Progress
}

/** `text` for people, `json` for programs: one object a line. */
export type LogForm = 'text' | 'json'

const toText = (fields: Readonly<Record<string, unknown>>): string =>
  Object.entries(fields)
    .filter(([, value]) => value !== undefined)
    .map(([key, value]) => `${key}=${typeof value === 'string' ? value : JSON.stringify(value)}`)
    .join(' ')

/**
 * A log on `stream`. The form is text on a terminal and JSON lines elsewhere, unless given.
 */
export function openLog(stream: Writable & { isTTY?: boolean }, form?: LogForm): Log {
  const terminal = stream.isTTY === true
  const json = (form ?? (terminal ? 'text' : 'json')) === 'json'
  const write = (name: string, fields: Readonly<Record<string, unknown>>) =>
    stream.write(
      json
        ? `${JSON.stringify({ event: name, ...fields })}\n`
        : `${terminal ? '\r\x1b[K' : ''}${name} ${toText(fields)}`.trimEnd() + '\n',
    )
  return {
    event: (name, fields = {}) => void write(name, fields),
    warn: (message, fields = {}) => void write('warning', { message, ...fields }),
    progress: (label, total) =>
      openBar(label, total, terminal && !json ? stream : undefined, fields =>
        write('progress', fields),
      ),
  }
}

/** A log that says nothing. */
export const silentLog: Log = {
  event: () => {},
  warn: () => {},
  progress: () => ({ advance: () => {}, done: () => {} }),
}
