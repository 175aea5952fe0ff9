// An input of every stage for Nx: as long as the artifacts are whole it says so; a missing, cut or
// changed file makes it say something new, so that Nx runs the stages, which then mend it.
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { damageOf } from '@deepfever/formats'

const list = async (path: string) =>
  (await readdir(path, { withFileTypes: true }).catch(() => []))
    .filter(entry => entry.isDirectory() && !entry.name.endsWith('.work'))
    .map(entry => join(path, entry.name))

const damaged: string[] = []
for (const configuration of await list('.artifacts'))
  for (const path of await list(configuration)) {
    const damage = await damageOf(path)
    if (damage) damaged.push(`${damage} at ${Date.now()}`)
  }
process.stdout.write(`${damaged.join('\n') || 'whole'}\n`)
