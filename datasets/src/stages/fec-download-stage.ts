import {
  commonOptions,
  defineStage,
  flag,
  integer,
  number,
  optionalPath,
  path,
} from '@deepfever/core'
import { takeLock } from '@deepfever/formats'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { downloadFec } from '../fec-download.ts'
import { openSource } from '../source.ts'

const MEBIBYTE = 2 ** 20

/** Fetches the photographs that FEC's lists name; the only stage that uses the network. */
export const fecDownloadStage = defineStage({
  name: 'datasets fec-download',
  summary: "fetches FEC's photographs by their addresses; goes on where it was, honours opt-outs",
  behaviour: 1,
  options: {
    ...commonOptions,
    source: path("folder with FEC's lists"),
    out: optionalPath('where images/ and fec-images.csv go; the source folder unless given'),
    workers: integer({
      ...{ help: 'requests at once', standard: 8, min: 1, max: 64, role: 'execution' },
    }),
    tries: integer({
      ...{ help: 'requests for one address', standard: 4, min: 1, max: 20, role: 'execution' },
    }),
    pause: number({
      ...{ help: 'seconds before the second try, then doubled', standard: 1, min: 0, max: 60 },
      role: 'execution',
    }),
    timeout: number({
      ...{ help: 'seconds for one request in all', standard: 30, min: 0.1, max: 600 },
      role: 'execution',
    }),
    maxMib: number({
      ...{ help: 'largest picture, MiB', standard: 20, min: 0.001, max: 256, role: 'execution' },
    }),
    limit: integer({
      help: 'addresses to look at in this run; 0 for all',
      ...{ standard: 0, min: 0, max: 2 ** 31, role: 'execution' },
    }),
    privateHosts: flag({
      help: 'allow loopback and private addresses, for a mirror of your own',
      role: 'execution',
    }),
  },
  async run({ source: folder, out: place, ...given }, { log, signal }) {
    const out = place || folder
    const source = await openSource({ source: folder, index: '', corpus: 'fec' }, log)
    const work = join(out, 'fec-images.work')
    const unlock = await takeLock(work)
    try {
      const limits = { timeoutMs: given.timeout * 1000, maxBytes: given.maxMib * MEBIBYTE }
      const options = { ...given, ...limits, out, pauseMs: given.pause * 1000 }
      const counts = await downloadFec(source, options, log, signal)
      log.event('fetched', { out, ...Object.fromEntries(counts) })
      return counts
    } finally {
      await unlock()
      await rm(work, { recursive: true, force: true })
    }
  },
})
