// tap: test/docs.test.ts covers the READMEs: tables, commands, links and paths
import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { nameWords, parseOptions, type Stage } from '@deepfever/core'
import * as formats from '@deepfever/formats'
import t from 'tap'
import { rooms } from '../packages/cli/src/rooms.ts'
import { repositoryRoot as root } from '../tools/faults.ts'
import { readWorkspaces } from '../tools/workspaces.ts'

const read = (path: string): string => readFileSync(join(root, path), 'utf8')
const workspaces = readWorkspaces(root)
const pages = [
  ...['README.md', 'CONTRIBUTING.md', 'tools/cluster/README.md'],
  ...workspaces.map(({ folder }) => `${folder}/README.md`),
].filter(page => existsSync(join(root, page)))
const scripts = (JSON.parse(read('package.json')) as { scripts: Record<string, string> }).scripts

/** Every stage that the command line knows, by its name. */
async function loadStages(): Promise<ReadonlyMap<string, Stage>> {
  const loaded = await Promise.all(Object.values(rooms).map(load => load()))
  return new Map(loaded.flatMap(({ stages }) => stages).map(stage => [stage.name, stage]))
}

/** The command lines of a page's `sh` blocks, comments and line ends taken off. */
function commandsOf(page: string): string[] {
  const blocks = [...read(page).matchAll(/^```sh\n(.*?)^```$/gms)].map(([, body]) => body ?? '')
  return blocks
    .flatMap(block => block.replaceAll('\\\n', ' ').split('\n'))
    .map(line => line.replace(/(^|\s)#.*$/, '').trim())
    .filter(line => line !== '')
}

/** Throws unless Nx would find what `words`, those behind `nx run`, name. */
function checkNx([id = '', ...words]: readonly string[]): void {
  const [room, target = ''] = id.split(':')
  const json = workspaces.find(workspace => workspace.room === room)?.json.nx?.targets?.[target]
  if (json === undefined) throw new Error(`there is no Nx target ${id}`)
  if (words.length === 0) return
  const [option, configuration = ''] = words
  const known = Object.keys((json.configurations ?? {}) as object)
  if (option !== '-c' || words.length !== 2) throw new Error(`found ${words.join(' ')}, wanted -c`)
  if (!known.includes(configuration)) throw new Error(`${id} has no configuration ${configuration}`)
}

/** Throws unless the script is there, and for benches, verifications and tests what they name. */
function checkScript([name = '', ...words]: readonly string[]): void {
  if (scripts[name] === undefined) throw new Error(`package.json has no script ${name}`)
  const [first = '', ...rest] = words.filter(word => word !== '--')
  const named =
    name === 'bench'
      ? [`tools/bench/${first}.ts`]
      : name === 'verify'
        ? [`tools/verify/${first}.ts`, ...rest.filter(word => !word.startsWith('--'))]
        : words.filter(word => word.endsWith('.ts'))
  const gone = named.find(path => !existsSync(join(root, path)))
  if (gone !== undefined) throw new Error(`there is no ${gone}`)
}

/** Throws unless the command line would be accepted. */
function checkCommand(line: string, stages: ReadonlyMap<string, Stage>): void {
  const [program, ...words] = line.replace(/^([A-Z_]+=\S+ )+/, '').split(/\s+/)
  const [first = '', second = '', ...rest] = words
  if (program === 'git' || program === 'cd') return
  if (program === 'npm') return checkScript(first === 'run' ? words.slice(1) : words)
  if (program !== 'npx') throw new Error(`found ${program ?? ''}, wanted npm, npx, git or cd`)
  if (first === 'tap') return checkScript(['tap', ...rest])
  if (first === 'nx' && second === 'run') return checkNx(rest)
  if (first !== 'deepfever') throw new Error(`found npx ${first}, wanted deepfever, nx run or tap`)
  if (second === '--help') return
  const [target = '', ...options] = rest
  const oneWord = stages.get(second)
  const stage = oneWord ?? stages.get(`${second} ${target}`)
  if (stage === undefined) throw new Error(`there is no stage ${second} ${target}`)
  if (!options.includes('--help'))
    parseOptions(stage.options, nameWords(stage, oneWord ? rest : options), stage.name)
}

t.test('the tables on disk are described as they are defined', t => {
  const page = read('packages/formats/README.md')
  const tables = Object.values<unknown>(formats).filter(
    (value): value is formats.Table =>
      typeof value === 'object' && value !== null && 'columns' in value && 'storage' in value,
  )
  t.ok(tables.length >= 5)
  for (const table of tables) t.ok(page.includes(formats.documentTable(table)), table.name)
  t.end()
})

t.test('every command in an sh block would be accepted', async t => {
  const stages = await loadStages()
  let count = 0
  for (const page of pages)
    for (const line of commandsOf(page)) {
      count++
      t.doesNotThrow(() => checkCommand(line, stages), `${page}: ${line}`)
    }
  t.ok(count > 20, `${count} commands`)
  for (const [line, message] of [
    ['npm run fly', /no script fly/],
    ['npm run bench -- nothing', /no tools\/bench\/nothing.ts/],
    ['npx nx run eval:raf -c somke', /no configuration somke/],
    ['npx nx run eval:rav', /no Nx target/],
    ['npx deepfever detect face --out=x', /no stage detect face/],
    ['npx deepfever detect faces --frames=x --out=y --prob=1', /unknown option --prob/],
    ['curl example', /wanted npm/],
  ] as const)
    t.throws(() => checkCommand(line, stages), { message }, line)
})

t.test('every stage stands in the table of the README', async t => {
  const page = read('README.md')
  for (const name of (await loadStages()).keys()) t.ok(page.includes(`\`${name}\``), name)
})

t.test('links and named paths lead to something', t => {
  const faults: string[] = []
  for (const page of pages) {
    const text = read(page).replace(/^```.*?^```$/gms, '')
    const links = [...text.matchAll(/\]\(([^)#]+)\)/g)].map(([, link]) => link ?? '')
    for (const link of links.filter(link => !/^https?:/.test(link)))
      if (!existsSync(join(root, dirname(page), link))) faults.push(`${page}: link ${link}`)
    const named = [...text.matchAll(/`([\w./-]+\/[\w./-]*)`/g)].map(([, path]) => path ?? '')
    const wanted = named.filter(path =>
      /^(packages|tools|test|docs|src|bin|demo|cards|datasets\/(src|cards|demo|test)|\.ci)\/./.test(
        path,
      ),
    )
    // A package's page names its own files from its folder, others from the root.
    const places = [root, join(root, dirname(page))]
    for (const path of wanted)
      if (!places.some(place => existsSync(join(place, path)))) faults.push(`${page}: ${path}`)
  }
  t.strictSame(faults, [])
  t.end()
})

t.test('pictures are small, drawn or of the demonstration photographs, and run nothing', t => {
  const words = ['ls-files', '--cached', '--others', '--exclude-standard', 'docs']
  const files = existsSync(join(root, '.git'))
    ? execFileSync('git', words, { cwd: root, encoding: 'utf8' }).split('\n').filter(Boolean)
    : ['docs/chain.svg', 'docs/gallery.png']
  for (const file of files) t.ok(statSync(join(root, file)).size < 300_000, file)
  const svg = read('docs/chain.svg')
  t.notMatch(svg, /<script|\son\w+=|href=/)
  t.match(svg, /<title id="title">/)
  t.match(svg, /prefers-color-scheme: dark/)
  t.end()
})
