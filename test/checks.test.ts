// tap: test/checks.test.ts covers tools/check-layers.ts, tools/check-targets.ts
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { layerFaults, rooms } from '../tools/check-layers.ts'
import { targetFaults } from '../tools/check-targets.ts'
import { repositoryRoot } from '../tools/faults.ts'

interface PackageParts {
  readonly dependencies?: Record<string, string>
  readonly tags?: string[]
  readonly targets?: Record<string, unknown>
  readonly source?: string
  readonly test?: string
}

/** A package folder as t.testdir takes it; what is not given is right. */
function aPackage(room: string, parts: PackageParts = {}) {
  const { dependencies = {}, tags = [`room:${room}`], targets = {}, source = '', test = '' } = parts
  const json = { name: `@deepfever/${room}`, dependencies, nx: { name: room, tags, targets } }
  return {
    'package.json': JSON.stringify(json),
    src: { 'index.ts': source },
    test: { 'index.test.ts': test },
  }
}

const core = { '@deepfever/core': '0.1.0' }

t.test('a tree that keeps to the table has no layer faults', async t => {
  const root = t.testdir({
    packages: {
      core: aPackage('core', { source: "import { join } from 'node:path'" }),
      media: aPackage('media', {
        dependencies: { ...core, sharp: '1.0.0' },
        source: "import sharp from 'sharp'\nimport type { Log } from '@deepfever/core'",
        test: "import '@deepfever/train'\nimport 'lodash'",
      }),
    },
    datasets: aPackage('datasets', {
      dependencies: core,
      source: "export * from '@deepfever/core'",
    }),
  })
  t.strictSame(layerFaults(root), [])
})

t.test('imports against the table are named with the file and the reason', async t => {
  const bad: [string, PackageParts, RegExp][] = [
    [
      'core',
      { source: "import '@deepfever/formats'" },
      /core\/src\/index.ts: .*no other room, not formats/,
    ],
    ['train', { source: "import { x } from '@deepfever/eval'" }, /stages meet only on disk/],
    ['train', { source: "const x = await import('@deepfever/cli')" }, /not cli/],
    ['detect', { source: "export { x } from 'sharp'" }, /sharp stays inside media/],
    ['losses', { source: "import '@tensorflow/tfjs-core'" }, /stays inside runtime/],
    ['losses', { source: "import 'lodash'" }, /lodash has no room in the table/],
    [
      'losses',
      { source: "import '@deepfever/core'" },
      /package.json does not list in dependencies/,
    ],
    [
      'losses',
      { source: "import '@deepfever/core/log'", dependencies: core },
      /the doors of that room are @deepfever\/core/,
    ],
    ['losses', { source: "import '../../core/src/log.ts'" }, /outside its package/],
    ['losses', { source: "import '../test/index.test.ts'" }, /nothing imports tests/],
    ['losses', { source: "import '../../../tools/faults.ts'" }, /outside its package/],
    ['losses', { source: "import 'fs'" }, /wanted node:fs/],
    ['losses', { source: "import '@deepfever/losses'" }, /its own package by name/],
    [
      'losses',
      { dependencies: { '@deepfever/train': '0.1.0' } },
      /package.json: depends on @deepfever\/train/,
    ],
    ['losses', { tags: ['room:models'] }, /nx.tags are \[room:models\], wanted room:losses/],
    ['misc', {}, /misc is not in the table of rooms/],
  ]
  for (const [i, [room, parts, message]] of bad.entries()) {
    const root = t.testdir({ [i]: { packages: { [room]: aPackage(room, parts) } } })
    const faults = layerFaults(join(root, String(i)))
    t.equal(faults.length, 1, faults.join('\n'))
    t.match(faults[0], message)
  }
})

t.test('the table has no room above itself', async t => {
  const order = [...rooms.keys()]
  for (const [name, room] of rooms) {
    for (const other of room.rooms)
      t.ok(order.indexOf(other) !== -1 && other !== name, `${name}: ${other}`)
    for (const other of room.rooms)
      t.notOk(rooms.get(other)?.rooms.includes(name), `${name} and ${other}`)
  }
})

const configured = (stage: string, extra: Record<string, unknown> = {}) =>
  Object.fromEntries(
    ['smoke', 'paper'].map(name => [name, { out: `.artifacts/${name}/${stage}`, ...extra }]),
  )

/** A right target, changed by `changes`. */
const aTarget = (stage: string, changes: Record<string, unknown> = {}) => ({
  command: `npx deepfever ${stage}`,
  options: { workers: 2 },
  configurations: configured(stage),
  outputs: ['{options.out}'],
  ...changes,
})

function targetTree(t: Test, faces: Record<string, unknown>) {
  const reads = {
    smoke: { frames: '.artifacts/smoke/videos', out: '.artifacts/smoke/faces' },
    paper: { frames: '.artifacts/paper/videos', out: '.artifacts/paper/faces' },
  }
  const target = aTarget('faces', { configurations: reads, dependsOn: ['ingest:videos'], ...faces })
  return t.testdir({
    packages: {
      ingest: aPackage('ingest', { targets: { videos: aTarget('videos') } }),
      detect: aPackage('detect', { targets: { faces: target } }),
    },
  })
}

t.test('targets that fit together have no faults', async t => {
  t.strictSame(targetFaults(targetTree(t, {})), [])
})

t.test('targets that do not fit together are named with found and wanted', async t => {
  const bad: [Record<string, unknown>, RegExp][] = [
    [
      { configurations: { smoke: { out: '.artifacts/smoke/faces' } } },
      /configuration paper is missing/,
    ],
    [
      { dependsOn: ['ingest:clips', 'ingest:videos'] },
      /dependsOn ingest:clips, which is no target/,
    ],
    [{ dependsOn: [] }, /reads .artifacts\/smoke\/videos, which no target before it writes/],
    [{ dependsOn: ['faces', 'ingest:videos'] }, /leads back to itself/],
    [{ options: { fps: [1, 2] } }, /options.fps is \[1,2\], wanted a string, number or boolean/],
    [{ outputs: ['.artifacts/faces'] }, /wanted an option, such as \{options.out\}/],
    [{ outputs: [] }, /outputs are missing/],
    [{ command: undefined }, /command is missing/],
    [
      { configurations: configured('../faces') },
      /smoke.out is ".artifacts\/smoke\/..\/faces", wanted/,
    ],
    [{ configurations: configured('videos') }, /is also the out of \w+:\w+ smoke/],
    [{ defaultConfiguration: 'somke' }, /defaultConfiguration somke is not a configuration/],
    [{ command: 'node tools/gone.mjs x' }, /starts tools\/gone.mjs, which does not exist/],
    [{ options: { out: '.artifacts/faces' } }, /default.out is ".artifacts\/faces", wanted/],
    [{ inputs: ['{workspaceRoot}/datasets/raw/**'] }, /is a raw data folder/],
  ]
  for (const [changes, message] of bad) {
    const faults = targetFaults(targetTree(t, changes))
    t.match(faults.join('\n'), message)
  }
})

t.test('a check ends with status 1 on a fault', async t => {
  const root = t.testdir({ bad: { packages: { misc: aPackage('misc') } } })
  const run = (folder: string) =>
    spawnSync(process.execPath, ['--import', 'tsx', 'tools/check-layers.ts', join(root, folder)], {
      cwd: repositoryRoot,
      encoding: 'utf8',
    })
  t.match(run('bad'), { status: 1, stderr: /layers: .*misc is not in the table/ })
})
