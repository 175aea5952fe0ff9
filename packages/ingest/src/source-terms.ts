import { readFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { FormatError, messageOf } from '@deepfever/core'
import { unstatedTerms, type Terms } from '@deepfever/formats'

/** The file beside clips that says under which terms they may be used. */
export const TERMS_FILE = 'SOURCE.json'

/**
 * Parses SOURCE.json: `{"licence": …, "consent": …, "contact": …}`; what is absent is unstated.
 *
 * @throws FormatError when it is no such object
 */
function parseTerms(json: string, place: string): Terms {
  let value: unknown
  try {
    value = JSON.parse(json)
  } catch (thrown) {
    throw new FormatError(`${place}: not JSON: ${messageOf(thrown)}`, { place }, thrown)
  }
  const keys = Object.keys(unstatedTerms)
  const entries = typeof value === 'object' && value !== null ? Object.entries(value) : []
  const bad = entries.find(([key, text]) => !keys.includes(key) || typeof text !== 'string')
  if (entries.length === 0 || bad)
    throw new FormatError(
      `${place}: found ${JSON.stringify(bad ?? value)}, wanted texts named ${keys.join(', ')}`,
      { place, found: bad ?? value, wanted: keys },
    )
  return { ...unstatedTerms, ...(Object.fromEntries(entries) as Partial<Terms>) }
}

/** The terms of a clip: those of the nearest folder, from its own up to the source, that says any. */
export async function openTerms(
  root: string,
  files: readonly { readonly path: string }[],
): Promise<(path: string) => Terms> {
  const byFolder = new Map<string, Terms>()
  for (const { path } of files) {
    if (path !== TERMS_FILE && !path.endsWith(`/${TERMS_FILE}`)) continue
    const place = join(root, path)
    byFolder.set(dirname(path), parseTerms(await readFile(place, 'utf8'), place))
  }
  return path => {
    let folder = path
    do {
      folder = dirname(folder)
      const terms = byFolder.get(folder)
      if (terms) return terms
    } while (folder !== '.' && folder !== '/')
    return unstatedTerms
  }
}
