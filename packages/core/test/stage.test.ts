import { PassThrough } from 'node:stream'
import t from 'tap'
import { StageError, UsageError } from '../src/errors.ts'
import { html } from '../src/html.ts'
import { openLog, silentLog } from '../src/log.ts'
import {
  choice,
  flag,
  identityOf,
  integer,
  number,
  optionalPath,
  parseOptions,
  path,
} from '../src/options.ts'
import { isInPart, parseShard } from '../src/part.ts'
import { mapOrdered, readAhead } from '../src/pool.ts'
import { toClock } from '../src/progress.ts'
import { commonOptions, defineStage, runStage } from '../src/stage.ts'

const table = {
  source: path('folder of clips'),
  fps: number({ help: 'frames a second', standard: 1, min: 0.01, max: 240 }),
  minFace: integer({ help: 'pixels', standard: 40, min: 20, max: 4096 }),
  mode: choice({ help: 'how', standard: 'joint', choices: ['joint', 'separate'] }),
  workers: integer({ help: 'cores', role: 'execution', standard: 2, min: 1, max: 64 }),
  page: optionalPath('page'),
  force: flag({ help: 'again', role: 'execution' }),
}
const parse = (...argv: string[]) => parseOptions(table, argv, 'npx deepfever ingest videos')

t.test('options are parsed in every form', t => {
  t.same(parse('--source=a b', '--fps', '2.5', '--min-face=21', '--force'), {
    source: 'a b',
    fps: 2.5,
    minFace: 21,
    mode: 'joint',
    workers: 2,
    page: '',
    force: true,
  })
  t.equal(parse('--source=x', '--no-force').force, false)
  t.equal(parse('--source=x', '--force=false').force, false)
  t.end()
})

t.test('a wrong option says what was wanted', t => {
  const cases: [string[], RegExp][] = [
    [
      ['--source=x', '--min-fase=21'],
      /unknown option --min-fase; did you mean --min-face\?; see: npx/,
    ],
    [['--source=x', '--zzzzzzzz=21'], /unknown option --zzzzzzzz; see: npx/],
    [['--source=x', '--fps=0'], /--fps: found "0", wanted number from 0\.01 to 240/],
    [['--source=x', '--fps='], /--fps: found "", wanted number/],
    [['--source=x', '--min-face=30.5'], /--min-face: found "30\.5", wanted whole number from 20/],
    [['--source=x', '--mode=jiont'], /--mode: found "jiont", wanted one of joint, separate/],
    [['--source=x', '--fps=1', '--fps=2'], /--fps is given twice/],
    [['--source=x', 'stray'], /unexpected argument stray/],
    [[], /--source is missing: folder of clips/],
  ]
  for (const [argv, message] of cases)
    t.throws(() => parse(...argv), { name: 'UsageError', message })
  t.end()
})

t.test('only identity options stand in the identity', t => {
  t.same(identityOf(table, parse('--source=x', '--workers=9')), {
    fps: 1,
    minFace: 40,
    mode: 'joint',
  })
  t.end()
})

t.test('a stage ends with 0, 1 or 2 and has a help text', async t => {
  const stageOf = (run: () => Promise<unknown>) =>
    defineStage({
      name: 'ingest videos',
      summary: 'clips to frames',
      behaviour: 1,
      options: { ...commonOptions, ...table },
      run,
    })
  const events: object[] = []
  const log = {
    ...silentLog,
    event: (name: string, fields = {}) => void events.push({ name, ...fields }),
  }
  const terminal = { log, signal: new AbortController().signal }
  const printed: string[] = []
  const exit = (argv: string[], run: () => Promise<unknown> = () => Promise.resolve()) =>
    runStage(stageOf(run), argv, terminal, text => void printed.push(text))
  t.equal(await exit(['--source=x']), 0)
  t.equal(await exit(['--source=x', '--bad']), 2)
  t.equal(await exit(['--source=x'], () => Promise.reject(new StageError('no', { place: 'y' }))), 1)
  t.match(events.at(-1), { name: 'failed', kind: 'StageError', message: 'no', place: 'y' })
  t.equal(await exit(['--source=x'], () => Promise.reject(new UsageError('no'))), 2)
  t.equal(await exit(['--help']), 0)
  t.match(printed.at(-1), /--min-face=… {2}pixels \(whole number from 20 to 4096; default 40\)/)
})

t.test('Ctrl-C stops a stage at its next checkpoint', async t => {
  const stopping = new AbortController()
  const stage = defineStage({
    name: 'ingest videos',
    summary: '',
    behaviour: 1,
    options: {},
    run(_, { checkpoint }) {
      checkpoint()
      stopping.abort()
      checkpoint()
      return Promise.reject(new Error('went on'))
    },
  })
  const seen: unknown[] = []
  const log = { ...silentLog, event: (_: string, fields?: object) => void seen.push(fields) }
  t.equal(await runStage(stage, [], { log, signal: stopping.signal }, () => {}), 1)
  t.match(seen, [{ message: /stopped; the same command goes on/ }])
})

t.test('a log is JSON lines for programs and text for people', t => {
  const written = (form?: 'text' | 'json') => {
    const stream = new PassThrough()
    const log = openLog(stream, form)
    log.event('clip', { clip: 'a', frames: 3 })
    log.warn('odd')
    return String(stream.read())
  }
  t.equal(
    written(),
    '{"event":"clip","clip":"a","frames":3}\n{"event":"warning","message":"odd"}\n',
  )
  t.equal(written('text'), 'clip clip=a frames=3\nwarning message=odd\n')
  t.same([0, 59.6, 61, 3661].map(toClock), ['0:00', '1:00', '1:01', '1:01:01'])
  t.end()
})

t.test('mapOrdered keeps the order, bounds the width and passes errors on', async t => {
  let under = 0
  let most = 0
  const work = async (n: number) => {
    most = Math.max(most, ++under)
    await new Promise(resolve => setTimeout(resolve, (7 * n) % 5))
    under--
    if (n === 40) throw new Error('forty')
    return n
  }
  const collect = async (inputs: number[]) => {
    const found: number[] = []
    for await (const n of mapOrdered(inputs, 3, work)) found.push(n)
    return found
  }
  t.same(await collect([...Array(30).keys()]), [...Array(30).keys()])
  t.equal(most, 3)
  await t.rejects(collect([1, 40, 2]), /forty/)
})

t.test(
  'readAhead works before it is asked, so far and no further, and ends with its source',
  async t => {
    let made = 0
    async function* count(to: number) {
      for (let i = 0; i < to; i++) yield Promise.resolve(made++)
      if (to > 9) throw new Error('ten')
      return 'all'
    }
    const few = readAhead(count(4), 3)
    await new Promise(resolve => setTimeout(resolve, 5))
    t.equal(made, 3)
    t.same(await few.next(), { done: false, value: 0 })
    t.same(
      [(await few.next()).value, (await few.next()).value, (await few.next()).value],
      [1, 2, 3],
    )
    t.same(await few.next(), { done: true, value: 'all' })
    made = 0
    const many = readAhead(count(10), 20)
    for (let i = 0; i < 10; i++) t.equal((await many.next()).value, i)
    await t.rejects(many.next(), /ten/, 'an error comes in its place')
  },
)

t.test('html escapes what is put into it', t => {
  const name = `<img src=x onerror="alert('1')">.mp4`
  t.equal(
    html`<p title="${name}">${[name, null, false, 3]}</p>`.toString(),
    '<p title="&lt;img src=x onerror=&quot;alert(&#39;1&#39;)&quot;&gt;.mp4">' +
      '&lt;img src=x onerror=&quot;alert(&#39;1&#39;)&quot;&gt;.mp43</p>',
  )
  t.equal(html`<b>${html`<i>${'&'}</i>`}</b>`.toString(), '<b><i>&amp;</i></b>')
  t.end()
})

t.test('--shard=auto takes the part from Slurm or Kubernetes; without them it is refused', t => {
  const slurm = (id: string, first: string, count: string) => ({
    ...{ SLURM_ARRAY_TASK_ID: id, SLURM_ARRAY_TASK_MIN: first, SLURM_ARRAY_TASK_COUNT: count },
  })
  t.same(parseShard('auto', slurm('1', '1', '64')), { index: 1, count: 64 })
  t.same(parseShard('auto', slurm('63', '0', '64')), { index: 64, count: 64 })
  const pod = { JOB_COMPLETION_INDEX: '0', JOB_COMPLETIONS: '8' }
  t.same(parseShard('auto', pod), { index: 1, count: 8 })
  t.throws(() => parseShard('auto', { JOB_COMPLETION_INDEX: '0' }), {
    name: 'UsageError',
    message: /found 1 of NaN, wanted SLURM_ARRAY_TASK_ID .* JOB_COMPLETIONS/,
  })
  t.throws(() => parseShard('auto', slurm('7', '1', '4')), { message: /found 7 of 4/ })
  t.throws(() => parseShard('auto', {}), { message: /found no such numbers/ })
  t.throws(() => parseShard('3/2', {}), { message: /wanted i\/n with i from 1 to n/ })
  const digest = 'ffffffffffff'
  const taking = [1, 2, 3].filter(index => isInPart(digest, { index, count: 3 }))
  t.same(taking, [3], 'one part takes it')
  t.end()
})
