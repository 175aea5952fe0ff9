import { rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { html, messageOf, trustedHtml, type Html, type Log } from '@deepfever/core'
import { drawCurve, shortNumber, type Curve } from './curve.ts'
import type { RunRecord } from './checkpoints.ts'
import type { RunCurves } from './run-curves.ts'

/** File of a run's page. */
export const RUN_PAGE = 'report.html'

/** Where a run stands: after how many of its steps, and whether it goes on. */
export interface RunPlace {
  /** steps done */
  readonly step: number
  /** of the whole run */
  readonly steps: number
  /** why it stopped, in words; 'finished', or 'going on' as far as this page knows */
  readonly state: 'finished' | 'going on' | { readonly stopped: string }
  /** step of the last checkpoint; undefined before the first */
  readonly saved?: number | undefined
  readonly best: RunRecord['best']
}

/** What a page is made of. */
interface RunFacts {
  readonly run: RunPlace
  readonly settings: RunRecord['settings']
  readonly curves: RunCurves
  /** when it is written */
  readonly time: Date
}

const style = `
:root { color-scheme: light dark; --page: #f6f7f9; --surface: #fff; --ink: #16191f; --soft: #565d6b;
  --line: #d9dde4; --accent: #1f5fae; --band: #c9dcf3; }
@media (prefers-color-scheme: dark) { :root { --page: #101216; --surface: #181b21; --ink: #eceef2;
  --soft: #a6adba; --line: #323843; --accent: #7fb2f5; --band: #2b4668; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink); font: 16px/1.5 system-ui, sans-serif; }
main { max-width: 64rem; margin: 0 auto; padding: 1rem; }
h1 { font-size: 1.5rem; margin: .75rem 0 1rem; overflow-wrap: anywhere; }
h2 { font-size: 1.1rem; margin: 0 0 .75rem; }
section { background: var(--surface); border: 1px solid var(--line); border-radius: .5rem;
  padding: 1rem; margin: 0 0 1rem; }
.curves { display: grid; gap: 1.25rem; grid-template-columns: repeat(auto-fit, minmax(min(100%, 26rem), 1fr)); }
figure { margin: 0; min-width: 0; }
figcaption { font-weight: 600; overflow-wrap: anywhere; }
.plot { position: relative; padding-left: 3.6rem; }
svg { display: block; width: 100%; height: 9.5rem; border: 1px solid var(--line); }
polygon { fill: var(--band); }
polyline { fill: none; stroke: var(--accent); stroke-width: 1.5; vector-effect: non-scaling-stroke; }
.high, .low { position: absolute; left: 0; font-size: .8rem; color: var(--soft); }
.high { top: 0; } .low { bottom: 0; }
.steps { display: flex; padding-left: 3.6rem; justify-content: space-between; font-size: .8rem; color: var(--soft); }
dl { display: grid; grid-template-columns: minmax(7rem, 16rem) 1fr; gap: .25rem 1rem; margin: 0;
  font-variant-numeric: tabular-nums; }
dt { color: var(--soft); overflow-wrap: anywhere; }
dd { margin: 0; overflow-wrap: anywhere; }
.digest { font-family: ui-monospace, monospace; font-size: .8rem; line-height: 1.9; }
@media (max-width: 36rem) { main { padding: .6rem; } dl { grid-template-columns: 1fr; }
  dd { margin-bottom: .4rem; } }
`

/** `losses.triplet` and its value, for every leaf. */
function leavesOf(value: unknown, place: string): [string, string][] {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    return [[place, typeof value === 'string' ? value : JSON.stringify(value)]]
  return Object.entries(value).flatMap(([key, own]) =>
    leavesOf(own, place ? `${place}.${key}` : key),
  )
}

const pairs = (heading: string, values: readonly (readonly [string, string])[], style = '') => html`
  <section>
    <h2>${heading}</h2>
    <dl>
      ${values.map(
        ([name, value]) => html`
          <dt>${name}</dt>
          <dd class="${style}">${value}</dd>
        `,
      )}
    </dl>
  </section>
`

const drawn = (curves: Iterable<readonly [string, Curve]>): Html[] =>
  [...curves].map(([label, curve]) => drawCurve(label, curve))

const duration = (seconds: number): string =>
  seconds < 5400 ? `${shortNumber(seconds / 60)} min` : `${shortNumber(seconds / 3600)} h`

/** State of a run in words, and what to do about it. */
function stateLines({ step, steps, state, saved }: RunPlace, time: Date): [string, string][] {
  const place = `step ${step} of ${steps}`
  const goesOn = `the same command goes on ${saved === undefined ? 'from the start' : `behind step ${saved}`}`
  if (state === 'finished') return [['state', `finished: ${place}`]]
  if (state === 'going on')
    return [
      ['state', `at ${place}`],
      [
        'written',
        `${time.toISOString().slice(0, 16).replace('T', ' ')} UTC, and at every checkpoint`,
      ],
      ['if nothing runs any more', goesOn],
    ]
  return [
    ['state', `stopped at ${place}`],
    ['reason', state.stopped],
    ['to go on', goesOn],
  ]
}

/** The page of a run, finished or not: one file, no script, no request; every value is escaped. */
export function renderRun({ run, settings, curves, time }: RunFacts): string {
  const { best } = run
  const { experiment, inputs, backend, stage } = settings
  const { mean } = curves
  const rates: [string, string][] = mean
    ? [
        ['images a second', shortNumber(mean.imagesPerSecond)],
        ['part of the time waiting for batches', shortNumber(mean.waitShare)],
        ['time', duration(mean.seconds)],
      ]
    : []
  const page = html`<!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <meta
          http-equiv="Content-Security-Policy"
          content="default-src 'none'; style-src 'unsafe-inline'"
        />
        <title>${stage}</title>
        <style>
          ${trustedHtml(style)}
        </style>
      </head>
      <body>
        <main>
          <h1>${stage}</h1>
          ${pairs('Run', [
            ...stateLines(run, time),
            ['computed by', backend],
            ...(best
              ? [
                  [
                    'best on held-out triplets',
                    `${(100 * best.accuracy).toFixed(1)} %, step ${best.step}`,
                  ] as const,
                ]
              : []),
            ...rates,
          ])}
          <section>
            <h2>Losses</h2>
            <div class="curves">${drawn(curves.losses)}</div>
          </section>
          <section>
            <h2>Speed</h2>
            <div class="curves">
              ${drawn([
                ['images a second', curves.speeds.imagesPerSecond],
                ['part of the time waiting', curves.speeds.waitShare],
              ])}
            </div>
          </section>
          ${pairs('Configuration', leavesOf(experiment, ''))}
          ${pairs(
            'Inputs by sha256',
            inputs.map(({ role, digest }) => [role, digest] as const),
            'digest',
          )}
        </main>
      </body>
    </html> `
  return page.toString()
}

/**
 * Puts the page of a run that is not finished into its work folder. It is not what the run is for:
 * one that cannot be written, on a full disk, is a warning.
 */
export async function writeRunPage(folder: string, facts: RunFacts, log: Log): Promise<void> {
  const place = join(folder, RUN_PAGE)
  try {
    await writeFile(`${place}.new`, renderRun(facts))
    await rename(`${place}.new`, place)
  } catch (thrown) {
    await rm(`${place}.new`, { force: true })
    log.warn(`${place}: could not be written: ${messageOf(thrown)}`)
  }
}
