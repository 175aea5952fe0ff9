import { availableParallelism, cpus, totalmem } from 'node:os'

/** One side of a comparison; `run` does the work once and answers its measure. */
export interface Side {
  readonly name: string
  run(): Promise<number>
  close?(): Promise<void>
}

/** Ours and a peer on the same input. */
export interface Bench {
  readonly name: string
  /** unit of the measures: `s` or `ms` (less is faster), or `…/s` (more is faster) */
  readonly unit: string
  readonly ours: Side
  readonly peer: Side | undefined
}

/** What the command line gave: `--rounds=9` and the bench's own `--key=value`. */
export type BenchWords = Readonly<Record<string, string>>

/** Opens a bench; a file `tools/bench/<name>.ts` exports one as `openBench`. */
export type OpenBench = (words: BenchWords, peers: string) => Promise<Bench>

/** The result of a bench: `ratio` above 1 means that ours is faster. */
export interface Result {
  readonly bench: string
  readonly ours: number
  readonly peer: number | null
  readonly unit: string
  readonly ratio: number | null
  readonly low: number | null
  readonly high: number | null
  readonly machine: string
}

/** The middle of `values`; of an even number, the mean of the middle two. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const half = sorted.length / 2
  const [low, high] = [sorted[Math.ceil(half) - 1] ?? NaN, sorted[Math.floor(half)] ?? NaN]
  return (low + high) / 2
}

/** How many times faster ours is, from two measures of one round. */
export function ratioOf(unit: string, ours: number, peer: number): number {
  return unit.endsWith('/s') ? ours / peer : peer / ours
}

/** Processor, cores and memory in words. */
export function machineOf(): string {
  const memory = `${Math.round(totalmem() / 2 ** 30)} GiB`
  return [cpus()[0]?.model.trim() ?? process.arch, `${availableParallelism()} cores`, memory].join(
    ', ',
  )
}

/**
 * Runs both sides in turn, the first of a round changing, so that a slow spell of the machine
 * falls on both. Medians over rounds; low and high are the extremes of the rounds' ratios.
 */
export async function compare(
  { name, unit, ours, peer }: Bench,
  rounds: number,
  say: (line: string) => void,
): Promise<Result> {
  const measures = { ours: [] as number[], peer: [] as number[] }
  for (let round = 0; round < rounds; round++) {
    const sides = [['ours', ours] as const, ...(peer ? [['peer', peer] as const] : [])]
    for (const [key, side] of round % 2 === 0 ? sides : sides.reverse()) {
      const measure = await side.run()
      measures[key].push(measure)
      say(`round ${round + 1}/${rounds}  ${side.name}  ${measure.toPrecision(4)} ${unit}`)
    }
  }
  const ratios = measures.peer.map((value, i) => ratioOf(unit, measures.ours[i]!, value))
  return {
    bench: name,
    ours: median(measures.ours),
    peer: peer === undefined ? null : median(measures.peer),
    unit,
    ratio: ratios.length === 0 ? null : median(ratios),
    low: ratios.length === 0 ? null : Math.min(...ratios),
    high: ratios.length === 0 ? null : Math.max(...ratios),
    machine: machineOf(),
  }
}
