import { createHash } from 'node:crypto'
import { existsSync, openSync, closeSync, writeSync } from 'node:fs'
import { mkdir, open, readFile, rename, stat, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { openRandom, StageError, type Log } from '@deepfever/core'
import {
  FEC_INDEX,
  encodeFecImage,
  encodeIndexHead,
  readFecIndex,
  type FecImage,
} from './fec-pictures.ts'
import { mergeVotes, readFecRows } from './fec-rows.ts'
import { fetchPicture, passing, type FetchLimits, type Fetched } from './picture-fetch.ts'
import type { Source } from './source.ts'

/** How a download goes about it; nothing of it changes what a picture is. */
export interface DownloadOptions extends FetchLimits {
  /** folder that gets `fec-images.csv` and `images/` */
  readonly out: string
  /** requests under way at once */
  readonly workers: number
  /** requests for one address before it is given up for this run */
  readonly tries: number
  /** wait before the second try; doubled for each further one */
  readonly pauseMs: number
  /** addresses looked at in this run, 0 for all */
  readonly limit: number
}

const LONGEST_PAUSE_MS = 60_000
const extensions = { jpeg: 'jpg', png: 'png', gif: 'gif', webp: 'webp' } as const

/** Addresses of the photographs that triplets with a clear vote name, each once, in order. */
export async function* fecAddresses(source: Source): AsyncGenerator<string> {
  const seen = new Set<string>()
  for await (const { row } of readFecRows(source)) {
    if (!row || !mergeVotes(row.answers)) continue
    for (const { url } of row.faces) {
      if (seen.has(url)) continue
      seen.add(url)
      yield url
    }
  }
}

/** The index of earlier runs; a last line that a kill cut off is dropped. */
async function readEarlier(place: string): Promise<Map<string, FecImage>> {
  const earlier = new Map<string, FecImage>()
  if (!existsSync(place)) return earlier
  const file = await open(place, 'r+')
  try {
    const bytes = await file.readFile()
    await file.truncate(bytes.lastIndexOf(0x0a) + 1)
  } finally {
    await file.close()
  }
  for await (const image of readFecIndex(place)) earlier.set(image.url, image)
  return earlier
}

const isWhole = async (place: string, sizeBytes: number): Promise<boolean> =>
  (await stat(place).catch(() => undefined))?.size === sizeBytes

/** Whether an earlier run's answer stands: faults that pass are asked again, lost files fetched. */
async function stands(image: FecImage | undefined, out: string): Promise<boolean> {
  if (image === undefined || passing.has(image.code)) return false
  return image.code !== 'ok' || isWhole(join(out, image.path), image.sizeBytes)
}

async function fetchPatiently(
  url: string,
  options: DownloadOptions,
  signal: AbortSignal,
): Promise<Fetched> {
  const random = openRandom(url)
  for (let attempt = 1; ; attempt++) {
    const fetched = await fetchPicture(url, options, signal)
    if (fetched.code === 'ok' || !passing.has(fetched.code) || attempt >= options.tries)
      return fetched
    const pause = options.pauseMs * 2 ** (attempt - 1) * (0.5 + random.next())
    const wanted = 'retryAfterMs' in fetched ? (fetched.retryAfterMs ?? 0) : 0
    await sleep(Math.min(LONGEST_PAUSE_MS, Math.max(pause, wanted)), undefined, { signal })
  }
}

/** Writes a picture under a name made of its address; whole or absent. */
async function keep(url: string, fetched: Fetched, out: string): Promise<FecImage> {
  if (fetched.code !== 'ok') return { url, code: fetched.code, path: '', sizeBytes: 0 }
  const name = createHash('sha256').update(url).digest('hex').slice(0, 32)
  const path = `images/${name.slice(0, 2)}/${name}.${extensions[fetched.kind]}`
  await mkdir(dirname(join(out, path)), { recursive: true })
  await writeFile(join(out, `${path}.part`), fetched.bytes)
  await rename(join(out, `${path}.part`), join(out, path))
  return { url, code: 'ok', path, sizeBytes: fetched.bytes.length }
}

/**
 * Fetches the photographs of FEC by their addresses. Every address ends as one line of
 * `fec-images.csv`, written behind its picture: a killed run goes on where it was.
 *
 * @returns how many of the addresses looked at ended with each code
 * @throws StageError after Ctrl-C
 */
export async function downloadFec(
  source: Source,
  options: DownloadOptions,
  log: Log,
  stopping: AbortSignal,
): Promise<ReadonlyMap<string, number>> {
  const { out, workers, limit } = options
  const place = join(out, FEC_INDEX)
  await mkdir(out, { recursive: true })
  const images = await readEarlier(place)
  await writeSorted(place, images)
  const counts = new Map<string, number>()
  const addresses = fecAddresses(source)
  const failing = new AbortController()
  const signal = AbortSignal.any([stopping, failing.signal])
  const journal = openSync(place, 'a')
  const bar = log.progress('addresses')
  let looked = 0
  const work = async () => {
    // A generator answers calls of several workers one after the other.
    while (!signal.aborted && (limit === 0 || looked < limit)) {
      looked++
      const { value: url, done } = await addresses.next()
      if (done) return
      let image = images.get(url)
      if (image === undefined || !(await stands(image, out))) {
        image = await keep(url, await fetchPatiently(url, options, signal), out)
        images.set(url, image)
        writeSync(journal, encodeFecImage(image))
      }
      counts.set(image.code, (counts.get(image.code) ?? 0) + 1)
      bar.advance()
    }
  }
  try {
    const ends = await Promise.allSettled(
      Array.from({ length: workers }, () =>
        work().catch((thrown: unknown) => {
          // The others would go on for hours.
          failing.abort()
          throw thrown
        }),
      ),
    )
    if (stopping.aborted)
      throw new StageError('stopped; the same command goes on where this one was', {})
    const failed = ends.filter(end => end.status === 'rejected')
    const first = failed.find(end => (end.reason as Error).name !== 'AbortError') ?? failed[0]
    if (first) throw first.reason
  } finally {
    closeSync(journal)
    bar.done()
  }
  await writeSorted(place, images)
  return new Map([...counts].sort(([a], [b]) => (a < b ? -1 : 1)))
}

/** One line an address, sorted: what was fetched in another order reads the same. */
async function writeSorted(place: string, images: ReadonlyMap<string, FecImage>): Promise<void> {
  const sorted = [...images.values()].sort((a, b) => (a.url < b.url ? -1 : 1))
  const text = encodeIndexHead() + sorted.map(encodeFecImage).join('')
  if (existsSync(place) && (await readFile(place, 'utf8')) === text) return
  await writeFile(`${place}.part`, text)
  await rename(`${place}.part`, place)
}
