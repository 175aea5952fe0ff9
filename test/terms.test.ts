// The terms beside a folder of clips reach everything that is made from them.
import { readdirSync } from 'node:fs'
import { readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Stage } from '@deepfever/core'
import { stages as detect } from '@deepfever/detect'
import { stages as evaluation } from '@deepfever/eval'
import { faces, openArtifact } from '@deepfever/formats'
import { stages as ingest } from '@deepfever/ingest'
import { collectFfmpeg, findFfmpeg } from '@deepfever/media'
import { stages as models } from '@deepfever/models'
import t from 'tap'
import { studentStage } from '../packages/train/src/run.ts'
import { drawFaces, drawTargets } from '../packages/train/test/drawn-inputs.ts'
import { run, tinyStudent } from '../packages/train/test/tiny-run.ts'

const photo = fileURLToPath(new URL('../datasets/demo/photos/astronaut.png', import.meta.url))

/** Inode and time of every file but the manifests. */
async function stampsOf(dir: string, names: readonly string[]): Promise<string[]> {
  const stamps: string[] = []
  for (const name of names)
    for (const file of readdirSync(join(dir, name)).filter(one => one !== 'manifest.json')) {
      const { ino, mtimeMs } = await stat(join(dir, name, file))
      stamps.push(`${name}/${file} ${ino} ${mtimeMs}`)
    }
  return stamps
}

t.test(
  'the terms of SOURCE.json reach checkpoint, report and contract, and follow changes',
  async t => {
    const terms = { licence: 'CC0', consent: 'asked', contact: 'clips@example.org' }
    const dir = t.testdir({ clips: { 'SOURCE.json': JSON.stringify(terms) } })
    const place = (name: string) => join(dir, name)
    const filter = "scale=320:320,eq=brightness='-t/9':eval=frame,format=yuv420p"
    const picture = ['-loop', '1', '-framerate', '4', '-t', '1', '-i', photo, '-vf', filter]
    const ffmpeg = await findFfmpeg()
    await collectFfmpeg([...picture, join(dir, 'clips', 'a.mp4')], { ffmpeg, name: 'a.mp4' })
    const stage = (name: string) =>
      [...ingest, ...detect, ...evaluation, ...models].find(one => one.name === name) as Stage
    const make = async (made: Stage, options: Record<string, string>) => {
      const { code, failure } = await run(made, options)
      t.equal(code, 0, `${made.name} ${code === 0 ? '' : JSON.stringify(failure)}`)
    }
    const frames = { source: place('clips'), fps: '4', out: place('frames') }
    await make(stage('ingest videos'), frames)
    await make(stage('detect faces'), { frames: place('frames'), out: place('powder') })
    const found: string[] = []
    for await (const { faceId } of (await openArtifact(place('powder'), 'faces')).rows(faces))
      found.push(faceId)
    t.ok(found.length > 0, 'faces were found')
    const rows = [0, 1, 2].map(i => [i, i + 1, i + 2] as const)
    const drawn = {
      fec: await drawFaces(place('fec'), { train: 5, rows }),
      affectnet: await drawFaces(place('affectnet'), { train: 16, test: 8, labels: 8 }),
    }
    const ids = (name: string, count: number) =>
      Array.from({ length: count }, (_, i) => `${name}-${i}`)
    const all = [...found, ...ids('fec', 5), ...ids('affectnet', 16)]
    const targets = await drawTargets(place('targets'), all)
    const train = studentStage('tiny', tinyStudent, 'a student') as Stage
    const powder = place('powder')
    await make(train, { ...drawn, powder, targets, out: place('student'), overlay: 'smoke' })
    const judged = { checkpoint: place('student'), faces: drawn.affectnet, cache: place('cache') }
    await make(stage('eval affectnet'), { ...judged, out: place('report') })
    for (const [name, kind] of Object.entries({ student: 'checkpoint', report: 'report' }))
      t.match((await openArtifact(place(name), kind)).manifest.terms, [terms], name)
    await make(stage('models export'), { checkpoint: place('student'), out: place('model') })
    const contract = await readFile(join(place('model'), 'contract.json'), 'utf8')
    t.match((JSON.parse(contract) as { terms: unknown }).terms, [terms])

    // New terms for the same clips: everything says so, and nothing is made again.
    const stricter = { ...terms, licence: 'CC BY-NC 4.0' }
    await writeFile(join(dir, 'clips', 'SOURCE.json'), JSON.stringify(stricter))
    const names = { frames: 'frames', powder: 'faces', student: 'checkpoint', report: 'report' }
    const before = await stampsOf(dir, Object.keys(names))
    await make(stage('ingest videos'), frames)
    await make(stage('detect faces'), { frames: place('frames'), out: place('powder') })
    await make(train, { ...drawn, powder, targets, out: place('student'), overlay: 'smoke' })
    await make(stage('eval affectnet'), { ...judged, out: place('report') })
    for (const [name, kind] of Object.entries(names)) {
      const { licence } = (await openArtifact(place(name), kind)).manifest.terms[0]!
      t.equal(licence, stricter.licence, name)
    }
    t.same(await stampsOf(dir, Object.keys(names)), before, 'all files but manifests stand')
    t.notOk(readdirSync(dir).some(name => name.endsWith('.work')))
  },
)
