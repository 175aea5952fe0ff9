import { request as plain, type IncomingMessage } from 'node:http'
import { request as secure } from 'node:https'
import { messageOf } from '@deepfever/core'
import { endsWhole, pictureKindOf, type PictureKind } from '@deepfever/media'
import { isPrivateAddress, lookupPublic, PRIVATE } from './public-address.ts'

/** Why an address gave no picture; stable, and the same in the index of pictures. */
export type FetchFault =
  | 'gone'
  | 'opted_out'
  | 'refused'
  | 'http_error'
  | 'server_error'
  | 'rate_limited'
  | 'timeout'
  | 'network_error'
  | 'too_many_redirects'
  | 'bad_address'
  | 'too_large'
  | 'empty_file'
  | 'not_a_picture'
  | 'cut_off'

/** A picture's bytes, or why there are none. */
export type Fetched =
  | { readonly code: 'ok'; readonly bytes: Uint8Array; readonly kind: PictureKind }
  | { readonly code: FetchFault; readonly retryAfterMs?: number | undefined }

/** Bounds of one request. */
export interface FetchLimits {
  /** from the first byte sent to the last received, redirects included */
  readonly timeoutMs: number
  readonly maxBytes: number
  /** allow loopback and private nets, for a mirror of one's own */
  readonly privateHosts: boolean
}

/** Faults that may pass: tried again, at once and by a later run. */
export const passing: ReadonlySet<string> = new Set<FetchFault>([
  ...(['server_error', 'rate_limited', 'timeout', 'network_error', 'cut_off'] as const),
])

/** How this program names itself to servers, and in X-Robots-Tag. */
const AGENT = 'deepfever'
const MAX_REDIRECTS = 5
/** Where Flickr sends those who ask for a photograph that was deleted. */
const GONE_PICTURE = /\/photo_unavailable[^/]*$/
const optOuts = new Set(['noai', 'noimageai', 'noindex', 'noimageindex'])
const goneStatus = new Set([404, 410])
const refusedStatus = new Set([401, 403, 451])

/**
 * Whether an X-Robots-Tag header asks that a picture be left alone. A rule may be meant for one
 * program (`otherbot: noindex`); those for others do not count.
 */
export function optsOut(header: string | readonly string[] | undefined): boolean {
  const lines = header === undefined ? [] : typeof header === 'string' ? [header] : header
  return lines.some(line => {
    let agent = ''
    return line.split(',').some(part => {
      const [, named, rule = ''] = /^\s*(?:([^:\s]+)\s*:)?\s*(.*?)\s*$/s.exec(part) ?? []
      if (named !== undefined) agent = named.toLowerCase()
      return optOuts.has(rule.toLowerCase()) && (agent === '' || agent === AGENT)
    })
  })
}

/** Fetches the picture of an address once. Anything that a server does ends as a code. */
export async function fetchPicture(
  address: string,
  limits: FetchLimits,
  stopping: AbortSignal,
): Promise<Fetched> {
  const timeout = AbortSignal.timeout(limits.timeoutMs)
  const signal = AbortSignal.any([stopping, timeout])
  try {
    let url = URL.canParse(address) ? new URL(address) : undefined
    for (let hops = 0; hops <= MAX_REDIRECTS; hops++) {
      if (url === undefined || !isAllowed(url, limits)) return { code: 'bad_address' }
      const response = await ask(url, limits, signal)
      try {
        const status = response.statusCode ?? 0
        if (status < 300 || status > 399) return await toPicture(response, limits.maxBytes)
        if (optsOut(response.headers['x-robots-tag'])) return { code: 'opted_out' }
        const { location } = response.headers
        if (location === undefined) return { code: 'http_error' }
        url = URL.canParse(location, url.href) ? new URL(location, url) : undefined
        if (url && GONE_PICTURE.test(url.pathname)) return { code: 'gone' }
      } finally {
        response.destroy()
      }
    }
    return { code: 'too_many_redirects' }
  } catch (thrown) {
    if (stopping.aborted) throw thrown
    if (timeout.aborted) return { code: 'timeout' }
    if ((thrown as NodeJS.ErrnoException).code === PRIVATE) return { code: 'bad_address' }
    // A connection that ends within the body is a picture that was cut off.
    return { code: messageOf(thrown) === 'aborted' ? 'cut_off' : 'network_error' }
  }
}

function isAllowed({ protocol, hostname, username, password }: URL, limits: FetchLimits): boolean {
  if (!['http:', 'https:'].includes(protocol) || username !== '' || password !== '') return false
  return limits.privateHosts || !isPrivateAddress(hostname.replace(/^\[|\]$/g, ''))
}

const ask = (url: URL, limits: FetchLimits, signal: AbortSignal): Promise<IncomingMessage> =>
  new Promise((resolve, reject) => {
    const headers = {
      'user-agent': `${AGENT}/0.1 (fetches the public FEC list for research; honours X-Robots-Tag)`,
      accept: 'image/jpeg,image/png,image/webp,image/gif',
      'accept-encoding': 'identity',
    }
    const lookup = limits.privateHosts ? {} : { lookup: lookupPublic }
    const options = { headers, signal, agent: false, ...lookup } as const
    const sent =
      url.protocol === 'https:' ? secure(url, options, resolve) : plain(url, options, resolve)
    sent.on('error', reject)
    sent.end()
  })

/** `Retry-After` in seconds or as a date. */
function retryAfterMsOf({ headers }: IncomingMessage): number | undefined {
  const text = headers['retry-after']
  if (text === undefined) return undefined
  const ms = /^\d+$/.test(text) ? Number(text) * 1000 : Date.parse(text) - Date.now()
  return Number.isNaN(ms) ? undefined : Math.max(0, ms)
}

function faultOf(response: IncomingMessage): Fetched | undefined {
  const { statusCode = 0, headers } = response
  if (optsOut(headers['x-robots-tag'])) return { code: 'opted_out' }
  if (statusCode === 200) return undefined
  if (goneStatus.has(statusCode)) return { code: 'gone' }
  if (refusedStatus.has(statusCode)) return { code: 'refused' }
  const retryAfterMs = retryAfterMsOf(response)
  if (statusCode === 429) return { code: 'rate_limited', retryAfterMs }
  return statusCode >= 500 ? { code: 'server_error', retryAfterMs } : { code: 'http_error' }
}

async function toPicture(response: IncomingMessage, maxBytes: number): Promise<Fetched> {
  const fault = faultOf(response)
  if (fault) return fault
  const type = response.headers['content-type'] ?? ''
  if (!/^(image\/|application\/octet-stream|binary\/octet-stream|$)/i.test(type))
    return { code: 'not_a_picture' }
  if (Number(response.headers['content-length'] ?? 0) > maxBytes) return { code: 'too_large' }
  const chunks: Buffer[] = []
  let sizeBytes = 0
  for await (const chunk of response as AsyncIterable<Buffer>) {
    sizeBytes += chunk.length
    if (sizeBytes > maxBytes) return { code: 'too_large' }
    chunks.push(chunk)
  }
  if (sizeBytes === 0) return { code: 'empty_file' }
  const bytes = Buffer.concat(chunks)
  const kind = pictureKindOf(bytes)
  if (kind === undefined) return { code: 'not_a_picture' }
  return endsWhole(kind, bytes) ? { code: 'ok', bytes, kind } : { code: 'cut_off' }
}
