import { defineStage, integer, path } from '@deepfever/core'
import { compareJudgements, type Comparison } from '../comparison.ts'
import { readJudgements, readReport } from './stored-report.ts'

/** Two reports on the same faces or triplets: which is better, and is it chance? */
export const compare = defineStage({
  name: 'eval compare',
  summary: 'two reports on the same ids: difference, paired bootstrap, McNemar',
  behaviour: 1,
  words: ['a', 'b'],
  options: {
    a: path('report artifact; or the first word'),
    b: path('report artifact to compare with it; or the second word'),
    seed: integer({ help: 'of the bootstrap', standard: 1, min: 0, max: 2 ** 31 }),
  },
  async run({ a, b, seed }) {
    const [one, two] = await Promise.all([readReport(a), readReport(b)])
    const rows = [await readJudgements(one.artifact), await readJudgements(two.artifact)] as const
    const comparison = compareJudgements(...rows, String(seed))
    process.stdout.write(toText(a, b, comparison))
    return comparison
  },
})

const percent = (value: number) => `${(100 * value).toFixed(2)} %`
const points = (value: number) => `${value > 0 ? '+' : ''}${(100 * value).toFixed(2)}`

function toText(a: string, b: string, found: Comparison): string {
  const { n, onlyA, onlyB, leaked, difference, interval, onlyARight, onlyBRight, p } = found
  return [
    `A ${percent(found.a)}  ${a}`,
    `B ${percent(found.b)}  ${b}`,
    `B - A ${points(difference)} points, ${100 * interval.level} % interval ` +
      `${points(interval.low)} to ${points(interval.high)} (paired bootstrap, ${interval.resamples} resamples)`,
    `McNemar p = ${p.toPrecision(3)}: ${onlyARight} right in A alone, ${onlyBRight} in B alone`,
    `n = ${n}; left out: ${onlyA} judged in A alone, ${onlyB} in B alone, ${leaked} leaked`,
    'One run each: another training seed may part them differently.',
    '',
  ].join('\n')
}
