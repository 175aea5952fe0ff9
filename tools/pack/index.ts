// Packs @deepfever/extract: npm run pack [-- FOLDER]
import { stat } from 'node:fs/promises'
import { packExtract } from './package.ts'

const [out = '.artifacts/package'] = process.argv.slice(2)
const tarball = await packExtract(out)
console.log(`${tarball}: ${(await stat(tarball)).size} bytes`)
