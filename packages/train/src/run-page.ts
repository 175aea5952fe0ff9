import { html, trustedHtml, type Html } from '@deepfever/core'
import { drawCurve, shortNumber } from './curve.ts'
import type { RunRecord } from './checkpoints.ts'

/** File of a run's page. */
export const RUN_PAGE = 'report.html'

/** What a page is made of: where the run stands, and its two records, one JSON line each. */
interface RunFacts {
  readonly record: Pick<RunRecord, 'step' | 'best' | 'settings'>
  /** metrics.jsonl */
  readonly metrics: string
  /** speed.jsonl */
  readonly speed: string
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

type Line = Readonly<Record<string, number>>

/** The whole lines of a record. */
const linesOf = (record: string): Line[] =>
  record
    .slice(0, record.lastIndexOf('\n') + 1)
    .split('\n')
    .filter(line => line !== '')
    .map(line => JSON.parse(line) as Line)

const curvesOf = (lines: readonly Line[], names: readonly string[]): Html[] =>
  names.map(label =>
    drawCurve({
      label,
      points: lines.map(line => ({ step: line['step'] ?? 0, value: line[label] ?? NaN })),
    }),
  )

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

/** The page of a run: one file, no script, no request; every value is escaped. */
export function renderRun({ record, metrics, speed }: RunFacts): string {
  const { step, best, settings } = record
  const { experiment, inputs, backend, stage } = settings
  const [steps, stretches] = [linesOf(metrics), linesOf(speed)]
  const losses = Object.keys(steps.at(-1) ?? {}).filter(name => name !== 'step' && name !== 'epoch')
  const seconds = stretches.reduce((sum, line) => sum + line['seconds']!, 0)
  const over = (weigh: (line: Line) => number) =>
    shortNumber(stretches.reduce((sum, line) => sum + weigh(line) * line['seconds']!, 0) / seconds)
  const rates =
    seconds > 0
      ? ([
          ['images a second', over(line => line['imagesPerSecond']!)],
          ['part of the time waiting for batches', over(line => line['waitShare']!)],
          ['hours', shortNumber(seconds / 3600)],
        ] as const)
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
            ['steps', String(step)],
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
            <div class="curves">${curvesOf(steps, losses)}</div>
          </section>
          <section>
            <h2>Speed</h2>
            <div class="curves">${curvesOf(stretches, ['imagesPerSecond', 'waitShare'])}</div>
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
