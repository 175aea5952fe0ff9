import { readFile, readdir, rm } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { decodeShard, encodeShard, takeLock, type FeatureRow } from '@deepfever/formats'
import { writeWholeFile } from '@deepfever/models'
import { tableOf } from './feature-file.ts'

/** What a run has done. */
interface Tally {
  /** pictures and clips that are finished */
  readonly inputs: number
  /** pictures and frames that were read well */
  readonly pictures: number
  readonly faces: number
  /** the others, by code */
  readonly codes: Readonly<Record<string, number>>
}

interface State {
  readonly digest: string
  readonly parts: number
  readonly tally: Tally
  readonly has: { readonly expression: boolean; readonly fec: boolean }
}

/** `<out>.work`: the rows of finished inputs, so that a run that was ended goes on. */
export interface SavedRun {
  /** what earlier runs have done */
  readonly tally: Tally
  /** the rows of earlier runs */
  rows(): AsyncGenerator<FeatureRow>
  add(rows: readonly FeatureRow[]): void
  /** Everything added may be kept: a run that begins behind it gives the same rows as this one. */
  mark(tally: Tally): Promise<void>
  /** Gives the folder up with all that was marked in it; it is removed when the run is done. */
  close(done: boolean): Promise<void>
}

const NOTHING: Tally = { inputs: 0, pictures: 0, faces: 0, codes: {} }
/** A part is written after so many rows (10 MB), or so much time: that is lost by a kill. */
const ROWS = 4096
const PART_MS = 60_000

/** Removes what killed runs had begun to write of `out`. */
async function removeParts(out: string): Promise<void> {
  const start = `${basename(out)}.`
  for (const name of await readdir(dirname(out)))
    if (name.startsWith(start) && /^\d+\.part$/.test(name.slice(start.length)))
      await rm(join(dirname(out), name), { force: true })
}

/**
 * Opens the work folder of `out`; what other work (`digest`) left there is written over.
 *
 * @throws StageError when another process writes to it
 */
export async function openSavedRun(out: string, digest: string): Promise<SavedRun> {
  const folder = `${out}.work`
  const unlock = await takeLock(folder)
  await removeParts(out)
  const place = join(folder, 'state.json')
  const partOf = (i: number) => join(folder, `part-${String(i).padStart(5, '0')}.arrow`)
  const found = await readFile(place, 'utf8').then(
    text => JSON.parse(text) as State,
    () => undefined,
  )
  const earlier = found?.digest === digest ? found : undefined
  if (!earlier) await rm(place, { force: true })
  let parts = earlier?.parts ?? 0
  let pending: FeatureRow[] = []
  let marked: { readonly count: number; readonly tally: Tally } | undefined
  let keptMs = performance.now()

  const keep = async () => {
    const [first] = pending
    if (!marked || marked.count === 0 || !first) return
    const { count, tally } = marked
    marked = undefined
    const rows = pending.slice(0, count)
    pending = pending.slice(count)
    await writeWholeFile(partOf(parts), await encodeShard(tableOf(first, 'arrow'), rows))
    const has = { expression: first.expression !== undefined, fec: first.fec !== undefined }
    const state: State = { digest, parts: ++parts, tally, has }
    await writeWholeFile(place, JSON.stringify(state))
    keptMs = performance.now()
  }

  return {
    tally: earlier?.tally ?? NOTHING,
    async *rows() {
      if (!earlier) return
      const none = new Float32Array()
      const has = {
        ...(earlier.has.expression && { expression: none }),
        ...(earlier.has.fec && { fec: none }),
      }
      for (let i = 0; i < earlier.parts; i++) {
        const file = partOf(i)
        yield* decodeShard(tableOf(has, 'arrow'), await readFile(file), file)
      }
    },
    add: rows => void pending.push(...rows),
    async mark(tally) {
      marked = { count: pending.length, tally }
      if (pending.length >= ROWS || performance.now() - keptMs > PART_MS) await keep()
    },
    async close(done) {
      // An error that ended the run is worth more than one of this.
      if (!done) await keep().catch(() => {})
      if (done || parts === 0) await rm(folder, { recursive: true, force: true })
      else await unlock()
    },
  }
}
