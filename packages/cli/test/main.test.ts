// tap: test/main.test.ts covers src/index.ts, src/rooms.ts
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { mapOrdered } from '@deepfever/core'
import { stages as datasets } from '@deepfever/datasets'
import t from 'tap'
import { main } from '../src/index.ts'

const program = fileURLToPath(new URL('../bin/deepfever.mjs', import.meta.url))

interface Ended {
  readonly code: number
  readonly out: string
  readonly err: string
}

/** Runs the program as a process of its own, its output on pipes. */
const run = (argv: readonly string[], form?: string): Promise<Ended> =>
  new Promise(resolve => {
    // Nothing of the test runner's own environment: its loaders would double the start.
    const env = { PATH: process.env['PATH'], ...(form !== undefined && { DEEPFEVER_LOG: form }) }
    execFile(process.execPath, [program, ...argv], { env }, (error, out, err) =>
      resolve({ code: error ? Number(error.code) : 0, out, err }),
    )
  })

/** Two processes at a time: each loads its stages anew, which takes about a second. */
async function runAll<K extends string>(commands: Readonly<Record<K, string>>) {
  const names = Object.keys(commands) as K[]
  const ended: Partial<Record<K, Ended>> = {}
  const results = mapOrdered(names, 2, name =>
    run(commands[name].split(' ').filter(word => word !== '')),
  )
  for await (const result of results) ended[names[Object.keys(ended).length]!] = result
  return ended as Record<K, Ended>
}

const jsonLines = (text: string) =>
  text
    .trimEnd()
    .split('\n')
    .map(line => JSON.parse(line) as Record<string, unknown>)

t.test('help and slips: what there is, and the nearest word', async t => {
  const ended = await runAll({
    help: '--help',
    roomHelp: 'datasets --help',
    stageHelp: 'datasets index --help',
    stage: 'datasetz index',
    option: 'datasets index --rot=x --out=y',
  })
  t.equal(ended.help.code, 0)
  t.match(ended.help.out, /^npx deepfever STAGE TARGET \[options\]\n/)
  for (const name of [
    'ingest videos',
    'detect faces',
    'train student',
    'eval raf',
    'models import',
  ])
    t.match(ended.help.out, new RegExp(`^  ${name} +\\S`, 'm'))
  t.equal(ended.help.err, '')
  t.match(ended.roomHelp, { code: 0, out: /^ {2}datasets demo {2}.*\n {2}datasets index {2}/m })
  t.notMatch(ended.roomHelp.out, 'ingest videos')
  t.match(ended.stageHelp, { code: 0, err: '' })
  t.match(ended.stageHelp.out, /^npx deepfever datasets index: .*\n\n {2}--force {2}/)
  t.match(ended.stageHelp.out, /^ {2}--out=… +where the index artifact goes \(path; required\)$/m)

  const see = 'see: npx deepfever'
  t.same(ended.stage, {
    code: 2,
    out: '',
    err: `unknown stage datasetz; did you mean datasets?; ${see} --help\n`,
  })
  t.same([ended.option.code, ended.option.out], [2, ''])
  t.match(jsonLines(ended.option.err), [
    {
      ...{ event: 'failed', kind: 'UsageError' },
      message: `unknown option --rot; did you mean --root?; ${see} datasets index --help`,
    },
  ])
})

t.test('what else is no command: said on standard error, exit code 2', async t => {
  const see = 'see: npx deepfever'
  const targets = datasets.map(({ name }) => name.split(' ')[1]).join(', ')
  for (const [argv, message] of [
    [['constructor', 'index'], `unknown stage constructor; ${see} --help`],
    [['datasets'], `datasets: no target given; targets: ${targets}; ${see} --help`],
    [['datasets', 'indx'], `datasets: unknown target indx; did you mean index?; ${see} --help`],
    [
      ['datasets', 'index'],
      `--out is missing: where the index artifact goes; ${see} datasets index --help`,
    ],
    [
      ['datasets', 'demo', '--out=x', '--seed=-1'],
      `--seed: found \\"-1\\", wanted whole number from 0 to ${2 ** 31}; ${see} datasets demo --help`,
    ],
    [
      ['datasets', 'demo', '--out=x', '--out=y'],
      `--out is given twice; ${see} datasets demo --help`,
    ],
    [['datasets', 'demo', 'here'], `unexpected argument here; ${see} datasets demo --help`],
  ] as const) {
    const written = t.capture(process.stderr, 'write', () => true)
    const code = await main(argv)
    const text = written.args().join('')
    written.restore()
    t.equal(code, 2)
    t.ok(text.includes(message), `${argv.join(' ')}: ${text}`)
  }
})

t.test('a run: JSON lines on a pipe, text where it is asked for, and up to date', async t => {
  const dir = t.testdir({ raw: { videos: { 'a.mp4': 'one' } }, 'bad.json': '{' })
  const [root, out] = [join(dir, 'raw'), join(dir, 'index')]
  const argv = ['datasets', 'index', `--root=${root}`, `--out=${out}`]
  const first = await run(argv)
  t.same([first.code, first.out], [0, ''], 'the log goes to standard error')
  const lines = jsonLines(first.err)
  t.same(
    lines.map(({ event }) => event),
    ['absent', 'absent', 'absent', 'wrote'],
  )
  t.match(lines.at(-1), { event: 'wrote', out, inputs: 1, outputs: 1 })
  const [again, failed] = await Promise.all([
    run(argv, 'text'),
    run([...argv, `--paths=${join(dir, 'bad.json')}`]),
  ])
  t.equal(again.code, 0)
  t.match(again.err, `\nup to date out=${out} stage=datasets index\n`)
  t.equal(failed.code, 1)
  t.match(jsonLines(failed.err), [
    { event: 'failed', kind: 'FormatError', message: /bad\.json: not JSON: / },
  ])
})
