import { readFile } from 'node:fs/promises'
import { basename, dirname, resolve } from 'node:path'
import { isBuiltin } from 'node:module'
import { rolldown, type Plugin } from 'rolldown'

const SOURCE_FILE = /\.(ts|mjs)$/
const isOurs = (id: string) => /^[./]/.test(id) || id.startsWith('@deepfever/')

/** `new URL('file', import.meta.url)`: a module becomes a file of its own, any other is copied. */
const besideFiles: Plugin = {
  name: 'beside-files',
  async transform(code, id) {
    let written = code
    for (const [text, path] of code.matchAll(/new URL\('([^']+)', import\.meta\.url\)/g)) {
      const file = resolve(dirname(id), path!)
      const isModule = SOURCE_FILE.test(file)
      const fileName = isModule ? basename(file).replace(SOURCE_FILE, '.js') : basename(file)
      if (isModule) this.emitFile({ type: 'chunk', id: file, fileName })
      else this.emitFile({ type: 'asset', fileName, source: await readFile(file) })
      written = written.replace(text, `new URL('${fileName}', import.meta.url)`)
    }
    return written === code ? null : written
  },
}

/** What is bundled is JavaScript: its threads need no loader of TypeScript. */
const noLoader: Plugin = {
  name: 'no-loader',
  resolveId: id => (id === 'tsx/esm/api' ? `\0${id}` : null),
  load: id => (id === '\0tsx/esm/api' ? 'export const register = () => {}' : null),
}

/**
 * Bundles the workspaces' code behind `entries` (name → module) into one flat folder.
 *
 * @returns the packages that it imports from outside
 */
export async function bundle(
  entries: Readonly<Record<string, string>>,
  folder: string,
): Promise<ReadonlySet<string>> {
  const build = await rolldown({
    input: { ...entries },
    platform: 'node',
    external: id => !isOurs(id) && id !== 'tsx/esm/api' && !id.startsWith('\0'),
    plugins: [noLoader, besideFiles],
    treeshake: { moduleSideEffects: false },
    transform: { target: 'node20.19' },
  })
  try {
    const { output } = await build.write({
      dir: folder,
      format: 'esm',
      entryFileNames: '[name].js',
      chunkFileNames: '[name]-[hash].js',
    })
    const imported = output.flatMap(file =>
      file.type === 'chunk' ? [...file.imports, ...file.dynamicImports] : [],
    )
    const files = new Set(output.map(({ fileName }) => fileName))
    return new Set(imported.filter(id => !files.has(id) && !isBuiltin(id)).map(packageOf))
  } finally {
    await build.close()
  }
}

/** `@cornerstonejs/codec/decode` → `@cornerstonejs/codec`. */
const packageOf = (id: string) =>
  id
    .split('/')
    .slice(0, id.startsWith('@') ? 2 : 1)
    .join('/')
