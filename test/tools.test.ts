// tap: test/tools.test.ts covers tools/install.mjs, tools/complete-lock.mjs, tools/nx.ts,
// tools/smoke-chain.ts, tools/verify/judge.ts, tools/bench/bench.ts
import { spawnSync } from 'node:child_process'
import { copyFileSync, existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseShard } from '@deepfever/core'
import t, { type Test } from 'tap'
import { compare, median, type Side } from '../tools/bench/bench.ts'
import { repositoryRoot } from '../tools/faults.ts'
import { nxEnvironment, parseHits } from '../tools/nx.ts'
import { readSmokeChain } from '../tools/smoke-chain.ts'
import { judgeRows } from '../tools/verify/judge.ts'
import { numberRow, textRow } from '../tools/verify/row.ts'

const locked = {
  packages: {
    '': {},
    'packages/core': { version: '0.1.0' },
    'node_modules/a': { version: '1.0.0' },
    'node_modules/b': { version: '2.0.0', optional: true },
  },
}

/** Stands in for npm: installs what the lock says, unless `NPM_DOES` says otherwise. */
const fakeNpm = `
const { mkdirSync, writeFileSync, readFileSync } = require('fs')
console.log('npm ' + process.argv.slice(2).join(' '))
if (process.env.NPM_DOES === 'fail') process.exit(7)
if (process.env.NPM_DOES === 'die') process.kill(process.pid, 'SIGKILL')
mkdirSync('node_modules/a', { recursive: true })
writeFileSync('node_modules/a/package.json', '{}')
if (process.env.NPM_DOES !== 'nothing') writeFileSync('node_modules/.package-lock.json', readFileSync('package-lock.json'))
`

function installTree(t: Test, node = '>=20.19', lock: object = locked) {
  const root = t.testdir({
    tools: {},
    'package.json': JSON.stringify({ engines: { node } }),
    'package-lock.json': JSON.stringify(lock),
    'npm-cli.js': fakeNpm,
  })
  copyFileSync(join(repositoryRoot, 'tools/install.mjs'), join(root, 'tools/install.mjs'))
  const run = (does = '') =>
    spawnSync(process.execPath, [join(root, 'tools/install.mjs')], {
      env: { PATH: process.env.PATH, npm_execpath: join(root, 'npm-cli.js'), NPM_DOES: does },
      encoding: 'utf8',
    })
  return { root, run }
}

t.test('install runs npm ci once, and again when something is missing', async t => {
  const { root, run } = installTree(t)
  const first = run()
  t.match(first, { status: 0, stderr: /1 packages are missing/, stdout: /npm ci --include=dev/ })
  t.match(run(), { status: 0, stdout: '', stderr: '' }, 'b is optional and was left alone')

  writeFileSync(join(root, 'node_modules/.package-lock.json'), '')
  t.match(run(), { status: 0, stdout: /npm ci/ }, 'a record that was cut off')
  rmSync(join(root, 'node_modules/a'), { recursive: true })
  t.match(run(), { status: 0, stdout: /npm ci/ }, 'a folder that was removed')
  t.ok(existsSync(join(root, 'node_modules/a/package.json')))
})

t.test('an install that fails, dies or leaves something out ends with status 1', async t => {
  const { run } = installTree(t)
  t.match(run('fail'), { status: 1, stderr: /npm ci ended with status 7/ })
  t.match(run('die'), { status: 1, stderr: /npm ci ended with SIGKILL/ })
  t.match(run('nothing'), {
    status: 1,
    stderr: /npm ci left out 1 packages, first node_modules\/a/,
  })
})

t.test('a Node that is too old is named with what is wanted', async t => {
  const { run } = installTree(t, '>=99.3')
  const found = process.versions.node
  t.match(run(), { status: 1, stdout: '', stderr: `Node ${found} is too old: this needs 99.3` })
})

t.test('complete-lock adds the platform packages that are missing, once', async t => {
  const lock = {
    packages: {
      'node_modules/nx': {
        version: '1.0.0',
        dev: true,
        optionalDependencies: { '@nx/nx-linux-x64-musl': '1.0.0', '@nx/nx-darwin-arm64': '1.0.0' },
      },
      'node_modules/@nx/nx-darwin-arm64': { version: '1.0.0' },
    },
  }
  const root = t.testdir({ 'package-lock.json': JSON.stringify(lock) })
  const run = () =>
    spawnSync(process.execPath, [join(repositoryRoot, 'tools/complete-lock.mjs'), root], {
      encoding: 'utf8',
    })
  t.match(run(), { status: 0, stdout: /1 platform packages added/ })
  t.match(run(), { status: 0, stdout: /0 platform packages added/ })
  const { packages } = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')) as {
    packages: Record<string, unknown>
  }
  const wanted = { version: '1.0.0', cpu: ['x64'], dev: true, libc: ['musl'], os: ['linux'] }
  t.strictSame(packages['node_modules/@nx/nx-linux-x64-musl'], { ...wanted, optional: true })

  const other = { packages: { 'node_modules/a': { optionalDependencies: { zlib: '1.0.0' } } } }
  writeFileSync(join(root, 'package-lock.json'), JSON.stringify(other))
  t.match(run(), { status: 1, stderr: /zlib 1.0.0 is missing and names no platform/ })
})

t.test('Nx stays inside the clone, and its hits are counted', async t => {
  const inside = nxEnvironment('/clone', { NX_TUI: 'true' })
  t.match(inside, { NX_CACHE_DIRECTORY: join('/clone', '.nx', 'cache'), NX_TUI: 'false' })
  t.match(nxEnvironment('/clone', { NX_CACHE_DIRECTORY: '/c' }), { NX_CACHE_DIRECTORY: '/c' })
  const line = 'Nx read the output from the cache instead of running the command for'
  t.strictSame(parseHits(`${line} 3 out of 4 tasks.`), { cached: 3, tasks: 4 })
  t.equal(parseHits('Successfully ran target raf'), undefined)
})

t.test('the smoke chain is in the order of dependsOn', async t => {
  const target = (out: string, dependsOn: unknown[]) => ({
    dependsOn,
    configurations: { smoke: { out } },
  })
  const folder = (name: string, targets: object) => ({
    'package.json': JSON.stringify({ nx: { name, targets } }),
  })
  const root = t.testdir({
    packages: {
      a: folder('a', { last: target('l', [{ projects: ['z'], target: 'first' }]), other: {} }),
      z: folder('z', { first: target('f', []), next: target('n', ['first', 'a:last']) }),
    },
  })
  t.strictSame(
    readSmokeChain(root).map(step => step.id),
    ['z:first', 'a:last', 'z:next'],
  )
})

t.test('a verification says every row, the worst last, and counts what is beyond', async t => {
  const lines: string[] = []
  const rows = [
    numberRow('close', 1.001, 1, 0.01),
    numberRow('far', 2, 1, 0.01),
    { ...numberRow('nan', NaN, 1, 0.01), ok: true },
    textRow('same', 'x', 'x'),
    textRow('other', 'x', 'y'),
  ]
  t.equal(await judgeRows(rows, line => lines.push(line)), 3)
  t.match(
    lines[0],
    /^ {2}close {2}found 1.0010000 {2}wanted 1 {2}deviation 0.00100 {2}tolerance 0.0100$/,
  )
  t.match(lines[1], /^! far/)
  t.match(lines.at(-1), '2 within tolerance, 3 beyond')
  t.match(lines[lines.indexOf('worst of 5:') + 1], /^! (nan|other)/)
  await t.rejects(
    judgeRows([], () => {}),
    { message: /found no quantity/ },
  )
})

t.test('a verification that is asked for wrongly ends with status 2', async t => {
  const run = (...words: string[]) =>
    spawnSync(process.execPath, ['--import', 'tsx', 'tools/verify/index.ts', ...words], {
      cwd: repositoryRoot,
      encoding: 'utf8',
    })
  t.match(run('moddels'), { status: 2, stderr: /found moddels, wanted one of models, training/ })
  t.match(run('files', 'nowhere'), { status: 2, stderr: /no reference at nowhere/ })
})

t.test('every pod of the Kubernetes job does a part of its own, and together they do all', t => {
  const job = readFileSync(join(repositoryRoot, 'tools/cluster/indexed-job.yaml'), 'utf8')
  const completions = /completions: (\d+)\n/.exec(job)?.[1]
  const told = /name: JOB_COMPLETIONS\n\s+value: '(\d+)'/.exec(job)?.[1]
  t.equal(told, completions, 'what Kubernetes does and what it tells')
  t.match(job, '- --shard=auto\n')
  const parts = Array.from({ length: Number(completions) }, (_, i) => {
    const env = { JOB_COMPLETION_INDEX: String(i), JOB_COMPLETIONS: told }
    return parseShard('auto', env)?.index
  })
  t.same(
    parts,
    Array.from(parts, (_, i) => i + 1),
  )
  t.end()
})

t.test('a bench takes turns and answers medians and the range of ratios', async t => {
  const order: string[] = []
  const side = (name: string, measures: number[]): Side => ({
    name,
    run: () => {
      order.push(name)
      return Promise.resolve(measures.shift() ?? NaN)
    },
  })
  const sides = { ours: side('ours', [1, 2, 4]), peer: side('peer', [2, 2, 12]) }
  const result = await compare({ name: 'b', unit: 's', ...sides }, 3, () => {})
  t.strictSame(order, ['ours', 'peer', 'peer', 'ours', 'ours', 'peer'])
  t.match(result, { ours: 2, peer: 2, ratio: 2, low: 1, high: 3, unit: 's' })
  const alone = { name: 'b', unit: 's', ours: side('ours', [1]), peer: undefined }
  t.match(await compare(alone, 1, () => {}), { peer: null, ratio: null })
  t.equal(median([3, 1, 2, 10]), 2.5)
})
