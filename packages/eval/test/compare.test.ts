// tap: test/compare.test.ts covers src/comparison.ts src/paper-tables.ts src/run-groups.ts src/stages/compare.ts src/stages/table.ts src/stages/stored-report.ts
import { join } from 'node:path'
import { runStage, silentLog, type Log, type Stage } from '@deepfever/core'
import { judgements, writeArtifact, type Judgement } from '@deepfever/formats'
import t from 'tap'
import { compareJudgements, mcnemar } from '../src/comparison.ts'
import { tablesText } from '../src/paper-tables.ts'
import { WITH_LEAKED, type Report } from '../src/report.ts'
import { groupRuns } from '../src/run-groups.ts'
import { stages } from '../src/stages/index.ts'

/** A judgement of face `i`: right or wrong, or not judged at all. */
const judged = (i: number, right: boolean, change: Partial<Judgement> = {}): Judgement => ({
  ...{ id: `face-${i}`, label: 1, predicted: right ? 1 : 0, confidence: 0.5 },
  ...{ right: right ? 1 : 0, leaked: 0, ...change },
})
const times = <T>(count: number, make: (i: number) => T) =>
  Array.from({ length: count }, (_, i) => make(i))

t.test('the exact test of discordant pairs', t => {
  // scipy.stats.binomtest(k, n, 0.5).pvalue
  t.equal(mcnemar(0, 0), 1)
  t.equal(mcnemar(5, 5), 1)
  t.ok(Math.abs(mcnemar(2, 10) - 0.03857421875) < 1e-12)
  t.ok(Math.abs(mcnemar(10, 2) - 0.03857421875) < 1e-12)
  t.ok(Math.abs(mcnemar(0, 6) - 0.03125) < 1e-12)
  t.ok(mcnemar(1400, 1600) > 0 && mcnemar(1400, 1600) < 1e-3, 'no underflow at thousands')
  t.end()
})

t.test('two reports are compared on what both judged and neither leaked', t => {
  const a = [...times(100, i => judged(i, i < 60)), judged(200, true), judged(201, true)]
  const b = [
    ...times(100, i => judged(i, i < 60 ? i >= 5 : i < 80)),
    judged(201, true, { leaked: 1 }),
    judged(300, true, { predicted: -1, right: 0 }),
  ]
  const found = compareJudgements(a, b, '1')
  t.match(found, { n: 100, onlyA: 1, onlyB: 0, leaked: 1, a: 0.6, b: 0.75 })
  t.match(found, { onlyARight: 5, onlyBRight: 20 })
  t.ok(Math.abs(found.difference - 0.15) < 1e-12)
  t.ok(found.interval.low > 0.04 && found.interval.high < 0.26)
  t.equal(found.p, mcnemar(5, 20))
  t.same(compareJudgements(a, b, '1'), found, 'seeded')
  const other = [judged(0, true, { label: 3 })]
  t.throws(() => compareJudgements(a, other, '1'), { message: /face-0: label 1 in one and 3 in/ })
  t.throws(() => compareJudgements(a, [judged(900, true)], '1'), {
    message: /nothing was judged by both: 102 and 1 rows, 0 ids in common/,
  })
  t.end()
})

const aReport = (stage: string, value: number, more: Partial<Report> = {}): Report => ({
  ...{
    report: 2,
    kind: 'probe',
    title: 'x',
    banner: null,
    extractor: 'runs/student',
    training: null,
  },
  headline: {
    ...{ label: 'Accuracy', value, n: 4000, note: '' },
    interval: { low: value - 0.015, high: value + 0.015, level: 0.95, resamples: 1000 },
  },
  ...{ beside: [], probe: null, triplets: null, leakage: null, mistakes: [] },
  ledger: { inputs: 1, outputs: 1, rejects: {} },
  configuration: { stage, classes: '8' },
  digests: {},
  ...more,
})

t.test("the paper's tables hold its rows and leave empty what was not run", t => {
  const empty = tablesText([])
  for (const line of [
    '| Pyramid with Super Resolution | 60.7 | 63.8 |',
    '| PAENet |  | 65.3 |',
    '| FECNet: fine-tuned FaceNet | 81.8 |',
    '| PSN | 89.0 |',
    '| here |  |  |',
  ])
    t.ok(empty.includes(line), line)
  const text = tablesText([
    { name: 'student', reports: [0.6, 0.62].map(value => aReport('eval affectnet', value)) },
    { name: 'a|b', reports: [aReport('eval raf', 0.871)] },
  ])
  t.match(
    text,
    '| here: student | 61.0 ± 1.4 over 2 runs; sampling of one: 58.5 to 61.5, n = 4000 |  |',
  )
  t.match(text, '| here: a b | 87.1 (85.6 to 88.6, n = 4000) |')
  t.end()
})

/** A report that left ten rows out. */
function leaky(stage: string, value: number, withLeaked: number): Report {
  const report = aReport(stage, value)
  const label = `Accuracy${WITH_LEAKED}`
  const beside = [{ ...report.headline, label, value: withLeaked }]
  return { ...report, beside, leakage: { tested: 4000, leaked: 10, examples: [] } }
}

t.test('the number with leaked rows stands beside the headline', t => {
  const one = tablesText([{ name: 'a', reports: [leaky('eval raf', 0.8, 0.81)] }])
  t.match(one, '| here: a | 80.0 (78.5 to 81.5, n = 4000); with 10 leaked: 81.0 |')
  const two = [leaky('eval raf', 0.8, 0.81), aReport('eval raf', 0.82)]
  t.match(
    tablesText([{ name: 'a', reports: two }]),
    'n = 4000; with 10 leaked: 81.5 ± 0.7 over 2 runs |',
    'where a run left nothing out its headline is the number',
  )
  t.end()
})

t.test('runs that differ in the training seed alone share a row', t => {
  const of = (extractor: string, seed: number, recipe: string | null, more: Partial<Report> = {}) =>
    aReport('eval raf', 0.5 + seed / 100, {
      ...{ extractor, training: recipe === null ? null : { recipe, seed } },
      digests: { checkpoint: `${extractor} ${seed}`, faces: 'faces' },
      ...more,
    })
  const names = (...reports: Report[]) =>
    groupRuns(reports).groups.map(group => `${group.name}: ${group.reports.length}`)
  t.same(names(of('a/one', 1, 'r'), of('b/two', 2, 'r')), ['one: 2'], 'whatever their names')
  t.same(names(of('a/x-seed1', 1, null), of('a/x-seed2', 2, null)), ['x: 2'])
  t.same(names(of('a/x', 1, 'recipe-one'), of('b/x', 2, 'recipe-two')), [
    'x (a/x, recipe recipe-o, faces faces): 1',
    'x (b/x, recipe recipe-t, faces faces): 1',
  ])
  const configuration = { stage: 'eval raf', penalty: 1, seed: 2 }
  const other = of('a/x', 2, 'r', { configuration })
  t.match(names(of('a/x', 1, 'r'), other), [
    /^x \(a\/x, recipe r, faces/,
    /, C 1, faces faces\): 1$/,
  ])
  const bySeed = { stage: 'eval raf', classes: '8', seed: 5, sweep: true }
  t.same(names(of('a/x', 1, 'r'), of('a/x', 2, 'r', { configuration: bySeed })), ['x: 2'])
  const otherStage = of('a/x', 1, 'r', { configuration: { stage: 'eval fec' } })
  t.same(names(of('a/x', 1, 'r'), otherStage), ['x: 1', 'x: 1'], 'of another table')
  const again = groupRuns([of('a/x', 1, 'r'), of('a/x', 1, 'r')])
  t.same([again.groups[0]?.reports.length, again.repeated.length], [1, 1], 'the same run again')
  t.end()
})

t.test('compare and table read report artifacts; what they are not is said', async t => {
  const dir = t.testdir({ reports: {} })
  const put = (name: string, report: Report, rows: Judgement[]) => {
    const out = join(dir, 'reports', name)
    const spec = { out, kind: 'report', stage: 'eval raf', behaviour: 2, identity: {}, inputs: [] }
    return writeArtifact(spec, silentLog, async write => {
      for (const row of rows) await write.append(judgements, row)
      await write.file('report.json', JSON.stringify(report))
      write.accept(rows.length)
      await write.done('report', rows.length)
    })
  }
  const rows = (right: number) => times(20, i => judged(i, i < right))
  await put('one', aReport('eval raf', 0.5, { extractor: 'a/net-seed1' }), rows(10))
  await put('two', aReport('eval raf', 0.9, { extractor: 'a/net-seed2' }), rows(18))
  await put('drawn', aReport('eval raf', 0.1, { banner: 'drawn' }), rows(2))
  const run = async (name: string, argv: readonly string[]) => {
    const said: string[] = []
    let printed = ''
    const write = process.stdout.write.bind(process.stdout)
    const log: Log = {
      ...silentLog,
      event: (event, fields) => void said.push([event, fields?.['message']].join(' ').trim()),
    }
    const stage = stages.find(each => each.name === name) as unknown as Stage
    const terminal = { log, signal: new AbortController().signal }
    process.stdout.write = text => {
      printed += String(text)
      return true
    }
    const code = await runStage(stage, argv, terminal, () => {}).finally(() => {
      process.stdout.write = write
    })
    return { code, said, printed }
  }
  const [one, two] = ['one', 'two'].map(name => join(dir, 'reports', name)) as [string, string]
  const compared = await run('eval compare', [one, two])
  t.equal(compared.code, 0)
  t.match(compared.printed, /B - A \+40\.00 points, 95 % interval \+20\.00 to \+60\.00/)
  t.match(compared.printed, /McNemar p = 0\.00781: 0 right in A alone, 8 in B alone/)
  t.equal((await run('eval compare', [one, two, 'three'])).code, 2)
  t.match((await run('eval compare', [one, dir])).said.at(-1), /no manifest.json, wanted a report/)
  const table = await run('eval table', [join(dir, 'reports')])
  t.match(table.printed, /\| here: net \| 70\.0 ± 28\.3 over 2 runs/)
  t.match(table.said, ['left out'])
  t.match((await run('eval table', ['--drawn', `--reports=${one},${two}`])).printed, / over 2 runs/)
  t.match((await run('eval table', [join(dir, 'nothing')])).said.at(-1), /no such folder/)
})
