// Provides the browser that tests need where none is installed: npm run browser
import { execFile } from 'node:child_process'
import { chmod, mkdir, open, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { brotliDecompress } from 'node:zlib'
import { messageOf } from '@deepfever/core'
import { listTar } from '@deepfever/formats'
import { browser, ownBrowser } from './chromium.ts'

/** Chromium's headless shell for x86-64 Linux (Chromium's licence, BSD), packed by its author (MIT). */
const PACKED = '@sparticuz/chromium'
const VERSION = '153.0.0'
const INTEGRITY =
  'sha512-jiGWqSvPMdu4+P9TilYqAR7yEGPEHINx+lCvE/NqNO/EHYzF/x1hUiI5T6ioVIt7dEy7n88byyT0vk+dnsgQwA=='

const inflate = promisify(brotliDecompress)

/** Unpacks a tar file compressed by brotli below `to`. */
async function unpack(from: string, to: string): Promise<void> {
  const tar = `${to}.tar`
  await writeFile(tar, await inflate(await readFile(from)))
  const file = await open(tar)
  for await (const { name, start, sizeBytes } of listTar(tar)) {
    const bytes = Buffer.alloc(sizeBytes)
    await file.read(bytes, 0, sizeBytes, start)
    await mkdir(dirname(join(to, name)), { recursive: true })
    await writeFile(join(to, name), bytes)
  }
  await file.close()
  await rm(tar)
}

/** Puts the browser at `place`, with the libraries and fonts that a bare machine lacks. */
async function provide(place: string): Promise<void> {
  const fresh = `${place}.new`
  await rm(fresh, { recursive: true, force: true })
  await mkdir(fresh, { recursive: true })
  const words = ['install', '--prefix', fresh, '--no-save', '--no-audit', '--no-fund']
  // No scripts: .npmrc says so for the repository, and this for a folder outside its packages.
  await promisify(execFile)('npm', [...words, '--ignore-scripts', `${PACKED}@${VERSION}`])
  const lock = JSON.parse(
    await readFile(join(fresh, 'node_modules/.package-lock.json'), 'utf8'),
  ) as { packages: Readonly<Record<string, { readonly integrity?: string }>> }
  const found = lock.packages[`node_modules/${PACKED}`]?.integrity
  if (found !== INTEGRITY)
    throw new Error(`${PACKED} ${VERSION} is ${found ?? 'missing'}, wanted ${INTEGRITY}`)
  const packed = join(fresh, 'node_modules', PACKED, 'bin')
  await writeFile(join(fresh, 'chrome'), await inflate(await readFile(join(packed, 'chromium.br'))))
  await unpack(join(packed, 'al2023.tar.br'), fresh)
  await unpack(join(packed, 'fonts.tar.br'), fresh)
  await rm(join(fresh, 'node_modules'), { recursive: true })
  // Without a font it waits for ever at the first text.
  const fonts = `<fontconfig><dir>${place}/fonts</dir><cachedir>${place}/cache</cachedir></fontconfig>`
  await writeFile(join(fresh, 'fonts.conf'), `${fonts}\n`)
  const start = [
    '#!/bin/sh',
    `export LD_LIBRARY_PATH='${place}/lib' FONTCONFIG_FILE='${place}/fonts.conf'`,
    `exec '${place}/chrome' "$@"`,
  ]
  await writeFile(join(fresh, 'chromium'), `${start.join('\n')}\n`)
  await Promise.all(['chrome', 'chromium'].map(name => chmod(join(fresh, name), 0o755)))
  await rm(place, { recursive: true, force: true })
  await rename(fresh, place)
}

if (browser !== undefined) console.log(`browser: ${browser}`)
else if (process.platform !== 'linux' || process.arch !== 'x64') {
  console.error(`browser: none on PATH, and none to fetch for ${process.platform} ${process.arch}`)
  process.exitCode = 1
} else
  try {
    await provide(dirname(ownBrowser))
    console.log(`browser: ${ownBrowser}, ${PACKED} ${VERSION}`)
  } catch (thrown) {
    console.error(`browser: ${messageOf(thrown)}; install Chromium, or name one in CHROMIUM_PATH`)
    process.exitCode = 1
  }
