// tap: test/download.test.ts covers src/fec-download.ts, src/picture-fetch.ts, src/public-address.ts, src/fec-pictures.ts, src/triplet-list.ts, src/stages/fec-download-stage.ts, src/stages/fec-triplets-stage.ts
import { readFile, rm, writeFile } from 'node:fs/promises'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { gzipSync } from 'node:zlib'
import { join } from 'node:path'
import t from 'tap'
import { runStage, silentLog, type Log, type Stage } from '@deepfever/core'
import {
  isPrivateAddress,
  openSource,
  optsOut,
  readFec,
  readFecIndex,
  stages,
} from '@deepfever/datasets'
import { encodeJpeg } from '@deepfever/media'

const jpeg = Buffer.from(
  await encodeJpeg({ width: 8, height: 8, data: new Uint8Array(192).fill(90) }),
)
const asked = new Map<string, number>()
let underWay = 0
let mostUnderWay = 0

const send = (answer: ServerResponse, headers: Record<string, string>, body: Buffer, code = 200) =>
  answer.writeHead(code, { 'content-type': 'image/jpeg', ...headers }).end(body)
const manners: Record<string, (answer: ServerResponse, times: number) => void> = {
  good: answer => send(answer, {}, jpeg),
  moved: answer => void answer.writeHead(302, { location: '/1/good.jpg' }).end(),
  removed: answer =>
    void answer.writeHead(302, { location: '/images/photo_unavailable.png' }).end(),
  loop: answer => void answer.writeHead(302, { location: '/1/loop.jpg' }).end(),
  inward: answer => void answer.writeHead(302, { location: 'file:///etc/passwd' }).end(),
  gone: answer => send(answer, {}, jpeg, 404),
  forbidden: answer => send(answer, {}, jpeg, 403),
  teapot: answer => send(answer, {}, jpeg, 418),
  flaky: (answer, times) => send(answer, {}, jpeg, times < 3 ? 503 : 200),
  busy: (answer, times) => send(answer, { 'retry-after': '0' }, jpeg, times < 2 ? 429 : 200),
  broken: answer => send(answer, {}, jpeg, 500),
  optout: answer => send(answer, { 'x-robots-tag': 'noarchive, NoAI' }, jpeg),
  page: answer => send(answer, { 'content-type': 'text/html' }, Buffer.from('<html>')),
  liar: answer => send(answer, {}, Buffer.from('<html><body>no picture</body></html>')),
  cut: answer => send(answer, {}, jpeg.subarray(0, -2)),
  short: answer => {
    answer.writeHead(200, { 'content-type': 'image/jpeg', 'content-length': '99999' })
    answer.write(jpeg, () => answer.destroy())
  },
  empty: answer => send(answer, {}, Buffer.alloc(0)),
  huge: answer => send(answer, { 'content-length': String(2 ** 40) }, jpeg),
  endless: answer => {
    answer.writeHead(200, { 'content-type': 'image/jpeg' })
    const more = (): void => {
      if (!answer.destroyed) answer.write(Buffer.alloc(65_536), () => setImmediate(more))
    }
    more()
    answer.on('error', () => {})
  },
  silent: () => {},
  drip: answer => {
    answer.writeHead(200, { 'content-type': 'image/jpeg' })
    const drop = setInterval(() => answer.write(Buffer.of(0xff)), 100)
    answer.on('close', () => clearInterval(drop))
  },
  packed: answer => send(answer, { 'content-encoding': 'gzip' }, gzipSync(jpeg)),
  rude: answer => void answer.destroy(),
}
const server = createServer((request: IncomingMessage, answer) => {
  const name = /([a-z]+)\.jpg/.exec(request.url!)?.[1] ?? 'gone'
  const times = (asked.get(name) ?? 0) + 1
  asked.set(name, times)
  mostUnderWay = Math.max(mostUnderWay, ++underWay)
  answer.on('close', () => underWay--)
  manners[name]!(answer, times)
})
server.listen(0, '127.0.0.1')
await once(server, 'listening')
t.teardown(() => {
  server.closeAllConnections()
  server.close()
})
const { port } = server.address() as AddressInfo
const base = `http://127.0.0.1:${port}`

/** One triplet a three of addresses. */
function listOf(urls: readonly string[]): string {
  const votes = Array.from({ length: 6 }, (_, i) => `42${i},3`).join(',')
  const lines: string[] = []
  for (let i = 0; i < urls.length; i += 3) {
    const three = [0, 1, 2].map(k => `"${urls[(i + k) % urls.length]}",0.1,0.9,0.1,0.9`)
    lines.push([...three, 'ONE_CLASS_TRIPLET', votes].join(','))
  }
  return `${lines.join('\n')}\n`
}

const stageOf = (name: string) => stages.find(stage => stage.name === name) as unknown as Stage
async function run(name: string, options: Readonly<Record<string, string>>) {
  const said: Record<string, unknown>[] = []
  const log: Log = { ...silentLog, event: (event, fields) => void said.push({ event, ...fields }) }
  const flags = Object.entries(options).map(([key, value]) => `--${key}=${value}`)
  const terminal = { log, signal: new AbortController().signal }
  return { code: await runStage(stageOf(name), flags, terminal, () => {}), said }
}
const hasty = { pause: '0', tries: '3', timeout: '1.5', workers: '3', 'max-mib': '0.5' }
const fetchAll = (source: string, options: Record<string, string> = {}) =>
  run('datasets fec-download', { source, ...hasty, 'private-hosts': 'true', ...options })
const codesOf = async (root: string) => {
  const codes: Record<string, string> = {}
  for await (const { url, code } of readFecIndex(join(root, 'fec-images.csv')))
    codes[url.replace(/^.*\/([^/]+)\.jpg$/, '$1')] = code
  return codes
}
const NAME = 'faceexp-comparison-data-train-public.csv'

t.test(
  'whatever a server does ends as a code; what may pass is tried again, later too',
  async t => {
    const urls = [
      ...Object.keys(manners).map(name => `${base}/1/${name}.jpg`),
      'ftp://x.example/f.jpg',
    ]
    const root = t.testdir({ [NAME]: listOf(urls) })
    const { code, said } = await fetchAll(root)
    t.equal(code, 0)
    const wanted = {
      ...{ good: 'ok', moved: 'ok', flaky: 'ok', busy: 'ok', removed: 'gone', gone: 'gone' },
      ...{ loop: 'too_many_redirects', inward: 'bad_address', f: 'bad_address' },
      ...{ forbidden: 'refused', teapot: 'http_error', broken: 'server_error' },
      ...{ optout: 'opted_out', page: 'not_a_picture', liar: 'not_a_picture', cut: 'cut_off' },
      ...{ short: 'cut_off', empty: 'empty_file', huge: 'too_large', endless: 'too_large' },
      ...{ silent: 'timeout', drip: 'timeout', rude: 'network_error', packed: 'not_a_picture' },
    }
    t.same(await codesOf(root), wanted)
    t.match(said.at(-1), { event: 'fetched', ok: 4, gone: 2, opted_out: 1 })
    t.equal(asked.get('broken'), 3, 'three tries')
    t.equal(asked.get('forbidden'), 1, 'a clear answer is not asked for again')
    t.ok(mostUnderWay <= 3, `${mostUnderWay} requests at once, 3 workers`)

    const before = new Map(asked)
    t.equal((await fetchAll(root)).code, 0)
    for (const [name, answer] of Object.entries(wanted)) {
      const passes = ['server_error', 'timeout', 'network_error', 'cut_off'].includes(answer)
      if (name !== 'f' && name !== 'good')
        t.equal(asked.get(name)! > before.get(name)!, passes, `${name} asked for again: ${passes}`)
    }
  },
)

t.test('pauses between tries double', async t => {
  const root = t.testdir({ [NAME]: listOf([`${base}/p/slow.jpg`]) })
  const times: number[] = []
  manners['slow'] = answer => {
    times.push(performance.now())
    send(answer, {}, jpeg, 503)
  }
  t.equal((await fetchAll(root, { pause: '0.1', tries: '4' })).code, 0)
  t.same(await codesOf(root), { slow: 'server_error' })
  // Half to one and a half of 0.1, 0.2 and 0.4 s; timers may be early by a millisecond.
  for (const [i, least] of [50, 100, 200].entries())
    t.ok(times[i + 1]! - times[i]! >= least - 2, `pause ${i + 1}: ${times[i + 1]! - times[i]!} ms`)
})

t.test(
  'a killed run goes on: a lost picture is fetched, a cut line of the index dropped',
  async t => {
    const urls = ['a', 'b', 'c'].map(folder => `${base}/${folder}/good.jpg`)
    const root = t.testdir({ [NAME]: listOf(urls) })
    t.equal((await fetchAll(root, { limit: '2' })).code, 0)
    const index = join(root, 'fec-images.csv')
    const text = await readFile(index, 'utf8')
    t.equal(text.split('\n').length, 4, 'head, two addresses, end')
    const [, path] = /ok,(images\/[^,]+)/.exec(text)!
    await rm(join(root, path!))
    await writeFile(index, `${text}"${urls[2]!.slice(0, 12)}`)
    const before = asked.get('good')!
    t.equal((await fetchAll(root)).code, 0)
    t.equal(asked.get('good'), before + 2, 'the lost one and the third')
    t.equal((await fetchAll(root)).code, 0)
    t.equal(asked.get('good'), before + 2, 'nothing is left to do')

    const { readings, triplets } = await readFec(
      await openSource({ source: root, index: '', corpus: 'fec' }, silentLog),
    )
    t.equal(triplets.length, 1, 'found through the index, though all are called good.jpg')
    const paths = readings.map(reading => 'picture' in reading && reading.picture.path)
    t.equal(new Set(paths).size, 3)
  },
)

t.test(
  'gone and opted-out pictures are recorded; one name of two photographs is no match',
  async t => {
    const url = (path: string) => `http://photos.example/${path}.jpg`
    const names = ['1/a', '1/gone', '1/out', '1/twin', '2/twin', '1/a']
    const root = t.testdir({
      [NAME]: listOf(names.map(url)),
      'fec-images.csv': `url,code,path,sizeBytes\n"${url('1/gone')}",gone,,0\n"${url('1/out')}",opted_out,,0\n`,
      flat: { 'a.jpg': 'x', 'twin.jpg': 'x', 'gone.jpg': 'x' },
    })
    const source = await openSource({ source: root, index: '', corpus: 'fec' }, silentLog)
    const { readings, rejects } = await readFec(source)
    t.same(
      readings.map(reading => ('reject' in reading ? reading.reject.code : reading.picture.path)),
      ['flat/a.jpg', 'gone_picture', 'opted_out', 'ambiguous_picture', 'ambiguous_picture'],
    )
    t.same(
      rejects.map(({ code }) => code),
      ['gone_picture', 'ambiguous_picture'],
    )
    await writeFile(join(root, 'fec-images.csv'), 'url,code\nx,ok\n')
    await t.rejects(readFec(source), { message: /fec-images.csv: line 2: found x,ok, wanted url,/ })
  },
)

t.test('two laboratories compare on the triplets that both have', async t => {
  const rows = Array.from({ length: 9 }, (_, i) => `http://photos.example/${i}/${i}.jpg`)
  const pictures = (...names: number[]) => Object.fromEntries(names.map(n => [`${n}.jpg`, 'x']))
  const dir = t.testdir({
    ours: { [NAME]: listOf(rows), images: pictures(0, 1, 2, 3, 4, 5) },
    theirs: { [NAME]: listOf(rows), images: pictures(3, 4, 5, 6, 7, 8) },
    other: { [NAME]: listOf([...rows].reverse()), images: pictures(3, 4, 5) },
  })
  const exported = async (name: string, common = '') => {
    const out = join(dir, `${name}${common && '-common'}`, 'list')
    const options = { source: join(dir, name), out, ...(common && { common }) }
    const { code, said } = await run('datasets fec-triplets', options)
    return { code, said, file: join(out, 'triplets.csv') }
  }
  const theirs = await exported('theirs')
  t.equal(theirs.code, 0)
  const ours = await exported('ours', theirs.file)
  t.equal(ours.code, 0)
  t.match(await readFile(ours.file, 'utf8'), /^tripletId,digest\nfec:train-2,[0-9a-f]{16}\n$/)
  const other = await exported('other', theirs.file)
  t.equal(other.code, 1)
  t.match(other.said.at(-1), { message: /fec:train-2 has digest .* made from another copy/ })
})

t.test('private addresses are refused unless allowed; opt-outs may name a program', async t => {
  const root = t.testdir({ [NAME]: listOf([`${base}/p/good.jpg`]) })
  t.equal((await fetchAll(root, { 'private-hosts': 'false' })).code, 0)
  t.same(await codesOf(root), { good: 'bad_address' })
  for (const address of ['127.0.0.1', '10.1.2.3', '169.254.169.254', '::1', '::ffff:10.0.0.1'])
    t.ok(isPrivateAddress(address), address)
  for (const address of ['93.184.216.34', '2606:2800:220:1::1', 'photos.example'])
    t.notOk(isPrivateAddress(address), address)
  for (const header of ['noai', 'noarchive, noimageai', 'deepfever: noindex', 'NOIMAGEINDEX'])
    t.ok(optsOut(header), header)
  for (const header of [undefined, 'all', 'otherbot: noai', 'max-snippet: -1'])
    t.notOk(optsOut(header), String(header))
  t.ok(optsOut(['nofollow', 'noai']), 'several headers')
})
