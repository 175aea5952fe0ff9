import { FormatError, messageOf } from '@deepfever/core'

/** Vectors by id from a file of any program. */
export interface VectorFile {
  /** sha256 of the file */
  readonly digest: string
  readonly rowCount: number
  rows(): AsyncGenerator<{ readonly id: string; readonly vector: Float32Array }>
}

/** Errors of a file that is read for `wanted`: of ours, and of what libraries throw over its bytes. */
export function failuresOf(path: string, wanted: string) {
  const fail = (found: string, instead = wanted, cause?: unknown): FormatError =>
    new FormatError(
      `${path}: found ${found}, wanted ${instead}`,
      { path, found, wanted: instead },
      cause,
    )
  const unreadable = (thrown: unknown): never => {
    throw thrown instanceof FormatError ? thrown : fail(messageOf(thrown), wanted, thrown)
  }
  async function* readable<T>(rows: AsyncIterable<T>): AsyncGenerator<T> {
    try {
      yield* rows
    } catch (thrown) {
      unreadable(thrown)
    }
  }
  return { fail, unreadable, readable }
}
