import type { Ledger, Reject } from '@deepfever/formats'

/** Counts where inputs went. */
export interface Tally {
  use(): void
  reject(code: string, example: string): void
  toLedger(): Ledger
}

/** An empty tally. */
export function openTally(): Tally {
  let outputs = 0
  let rejected = 0
  const rejects: Record<string, Reject> = {}
  return {
    use: () => void outputs++,
    reject(code, example) {
      const { count, example: first } = rejects[code] ?? { count: 0, example }
      rejects[code] = { count: count + 1, example: first }
      rejected++
    },
    toLedger: () => ({ inputs: outputs + rejected, outputs, rejects }),
  }
}
