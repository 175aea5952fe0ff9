// tap: test/index.test.ts covers src/raw-index.ts, src/source.ts, src/stages/index-stage.ts
import { symlink, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { runStage, silentLog, type Log, type Stage } from '@deepfever/core'
import { digestOf, indexFolder, openSource, stages } from '@deepfever/datasets'
import { openArtifact } from '@deepfever/formats'

const stage = stages.find(({ name }) => name === 'datasets index') as unknown as Stage

/** Runs the stage as the command line does; gives its exit code and what it said. */
async function run(options: Readonly<Record<string, string>>) {
  const said: string[] = []
  const log: Log = {
    ...silentLog,
    event: (event, fields) =>
      void said.push([event, fields?.['message'] ?? fields?.['corpus']].join(' ').trim()),
  }
  const flags = Object.entries(options).map(([key, value]) => `--${key}=${value}`)
  const terminal = { log, signal: new AbortController().signal }
  return { code: await runStage(stage, flags, terminal, () => {}), said }
}

const digestBy = async (index: string) =>
  (await openSource({ source: '', index, corpus: 'videos' }, silentLog)).digest

t.test('files are sorted by whole path, not folder by folder', async t => {
  const root = t.testdir({
    a: { 'z.txt': '', b: { 'y.txt': '' } },
    'a-b': { 'c.txt': '' },
    'a.txt': '',
    'B.txt': '',
    'é.txt': '',
    'z.txt': '',
  })
  const { files } = await indexFolder(root, [], silentLog)
  const paths = files.map(({ path }) => path)
  t.same(paths, [...['B.txt', 'a-b/c.txt', 'a.txt', 'a/b/y.txt', 'a/z.txt', 'z.txt'], 'é.txt'])
  t.same(paths, [...paths].sort())
  t.not(digestOf(files), digestOf([...files].reverse()), 'so the order belongs to the digest')
})

t.test('a link that leaves the folder is counted and left out, wherever it leads', async t => {
  const dir = t.testdir({
    raw: { videos: { 'a.mp4': 'one' } },
    'raw-secret': { 'b.mp4': 'two' },
    secret: { 'c.mp4': 'three' },
  })
  const videos = join(dir, 'raw/videos')
  await symlink(join(dir, 'secret/c.mp4'), join(videos, 'file.mp4'))
  await symlink(join(dir, 'secret'), join(videos, 'folder'))
  await symlink(join(dir, 'raw-secret/b.mp4'), join(videos, 'beside.mp4'))
  await symlink('.', join(videos, 'loop'))
  const [root, out] = [join(dir, 'raw'), join(dir, 'index')]
  t.same(await run({ root, out }), {
    code: 0,
    said: ['absent affectnet', 'absent fec', 'absent rafdb', 'wrote'],
  })
  const { files } = await openSource({ source: '', index: out, corpus: 'videos' }, silentLog)
  t.match(files, [{ path: 'a.mp4', sizeBytes: 3 }])
  t.equal(files.length, 1)
  t.same((await openArtifact(out, 'index')).manifest.ledger, {
    inputs: 5,
    outputs: 1,
    rejects: { not_a_file_inside: { count: 4, example: 'videos/beside.mp4' } },
  })
})

t.test(
  'only files whose size or time changed are read; a time alone changes no digest',
  async t => {
    const dir = t.testdir({ raw: { videos: { 'a.mp4': 'one', 'b.mp4': 'two' } } })
    const [root, out] = [join(dir, 'raw'), join(dir, 'index')]
    const [a, b] = [join(root, 'videos/a.mp4'), join(root, 'videos/b.mp4')]
    const before = 1_000_000_000
    for (const file of [a, b]) await utimes(file, before, before)
    t.equal((await run({ root, out })).code, 0)
    const first = await digestBy(out)
    t.match((await run({ root, out })).said.at(-1), 'up to date')

    await utimes(a, before + 1, before + 1)
    t.equal((await run({ root, out })).code, 0)
    t.equal(await digestBy(out), first, 'touched, read again, found equal')

    // Other bytes behind the same size and time show that such a file is not read.
    await writeFile(b, 'six')
    await utimes(b, before, before)
    await run({ root, out })
    t.equal(await digestBy(out), first)
    await run({ root, out, force: 'true' })
    const forced = await digestBy(out)
    t.not(forced, first, '--force reads everything')

    await writeFile(a, 'uno')
    await run({ root, out })
    t.not(await digestBy(out), forced)
  },
)

t.test('a paths file sends a corpus elsewhere; what it cannot say is an error', async t => {
  const dir = t.testdir({
    elsewhere: { 'a.mp4': 'one' },
    'good.json': '',
    'cut.json': '{"videos": ',
    'null.json': 'null',
    'list.json': '["videos"]',
    'unknown.json': '{"vidoes": "/data"}',
    'number.json': '{"videos": 3}',
    'gone.json': '{"videos": "/nowhere/at/all"}',
  })
  const [root, out] = [join(dir, 'none'), join(dir, 'index')]
  const paths = join(dir, 'good.json')
  await writeFile(paths, JSON.stringify({ videos: join(dir, 'elsewhere') }))
  t.equal((await run({ root, out, paths })).code, 0)
  const opened = await openSource({ source: '', index: out, corpus: 'videos' }, silentLog)
  t.equal(opened.root, join(dir, 'elsewhere'))
  await t.rejects(openSource({ source: '', index: out, corpus: 'fec' }, silentLog), {
    name: 'StageError',
    message:
      `fec: no such folder was found by ${out}; put the data into datasets/raw/fec, or its path ` +
      'into datasets/paths.json as {"fec": "/path/to/it"}, then: npx nx run datasets:index',
  })
  for (const [name, message] of [
    ['cut', /cut\.json: not JSON: /],
    ['null', /null\.json: found null, wanted an object like \{"affectnet": /],
    ['list', /list\.json: found \["videos"\], wanted an object like /],
    ['unknown', /found vidoes: "\/data", wanted the path of one of videos, affectnet, fec, rafdb$/],
    ['number', /number\.json: found videos: 3, wanted the path of one of /],
    ['gone', /\/nowhere\/at\/all: no such folder; wanted a folder of raw data$/],
  ] as const) {
    const { code, said } = await run({ root, out, paths: join(dir, `${name}.json`) })
    t.equal(code, 1)
    t.match(said.at(-1), message)
  }
})
