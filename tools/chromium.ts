import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import type { Readable, Writable } from 'node:stream'
import { repositoryRoot } from './faults.ts'

const names = ['chromium', 'chromium-browser', 'google-chrome']
const places = (process.env.PATH ?? '').split(delimiter)
/** Where `tools/browser.ts` puts one. */
export const ownBrowser = join(repositoryRoot, '.browser', 'chromium')
/** Where a Chromium lies: CHROMIUM_PATH, PATH, `.browser`; undefined where there is none. */
export const browser = [
  process.env.CHROMIUM_PATH ?? '',
  ...places.flatMap(place => names.map(name => join(place, name))),
  ownBrowser,
].find(place => place !== '' && existsSync(place))

/** Why a test that needs a browser is skipped; false where there is one. */
export const noBrowser =
  browser === undefined
    ? 'no Chromium on PATH, nor in CHROMIUM_PATH; npm run browser fetches one'
    : (false as const)

/** An answer or an event of the DevTools protocol. */
export interface Message {
  readonly id?: number
  readonly method?: string
  readonly params?: Readonly<Record<string, unknown>>
  readonly result?: Record<string, never>
  readonly error?: { readonly message: string }
}

/** Chromium without a window, driven over a pipe (DevTools protocol). */
export function openBrowser(profile: string, more: readonly string[] = []) {
  const flags = [
    ...['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run'],
    ...['--disable-background-networking', '--remote-debugging-pipe'],
    `--user-data-dir=${profile}`,
    ...more,
  ]
  const child = spawn(browser!, flags, { stdio: ['ignore', 'ignore', 'ignore', 'pipe', 'pipe'] })
  const [input, output] = [child.stdio[3] as Writable, child.stdio[4] as Readable]
  const waiting = new Map<number, (message: Message) => void>()
  const events: Message[] = []
  let text = ''
  output.on('data', (chunk: Buffer) => {
    const messages = (text + chunk.toString()).split('\0')
    text = messages.pop()!
    for (const one of messages) {
      const message = JSON.parse(one) as Message
      if (message.id === undefined) events.push(message)
      else waiting.get(message.id)?.(message)
    }
  })
  let last = 0
  const call = async (method: string, params: object = {}, sessionId?: string) => {
    const id = ++last
    const answered = new Promise<Message>(resolve => waiting.set(id, resolve))
    input.write(`${JSON.stringify({ id, method, params, sessionId })}\0`)
    const { result, error } = await answered
    if (error) throw new Error(`${method}: ${error.message}`)
    return result as Record<string, unknown>
  }
  /** Ends the browser; its profile can be removed after that. */
  const close = async () => {
    const ended = new Promise(resolve => child.once('exit', resolve))
    child.kill()
    await ended
  }
  return { call, events, close }
}
