import { realpathSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

/** The repository's root folder. */
export const repositoryRoot = fileURLToPath(new URL('..', import.meta.url))

/** True in the file that Node was started with; a test that imports it runs nothing. */
export function isEntry(moduleUrl: string): boolean {
  const started = process.argv[1]
  return started !== undefined && realpathSync(started) === realpathSync(fileURLToPath(moduleUrl))
}

/** Prints one line a fault and sets the exit status: 0 without faults, 1 with. */
export function report(subject: string, faults: readonly string[]): void {
  for (const fault of faults) console.error(`${subject}: ${fault}`)
  if (faults.length > 0) process.exitCode = 1
  else console.log(`${subject}: no faults`)
}
