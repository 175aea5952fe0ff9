import { UsageError } from './errors.ts'
import { text, type Option } from './options.ts'

/** One of `count` parts of a list of work; `index` from 1. */
export interface Part {
  readonly index: number
  readonly count: number
}

/** The option `--shard` of a stage whose work can be divided. */
export const shardOption: Option<string> = text({
  help: 'do one part of the work: i/n, or auto under Slurm arrays and Kubernetes indexed jobs',
  role: 'execution',
  standard: '',
})

type Environment = Readonly<Record<string, string | undefined>>

/** Which part an array task or an indexed job is asked to do. */
function partOfJob(env: Environment): Part | undefined {
  if (env.SLURM_ARRAY_TASK_ID !== undefined) {
    const first = Number(env.SLURM_ARRAY_TASK_MIN ?? 0)
    const count = Number(env.SLURM_ARRAY_TASK_COUNT)
    return { index: Number(env.SLURM_ARRAY_TASK_ID) - first + 1, count }
  }
  if (env.JOB_COMPLETION_INDEX !== undefined)
    return { index: Number(env.JOB_COMPLETION_INDEX) + 1, count: Number(env.JOB_COMPLETIONS) }
  return undefined
}

/**
 * Reads `--shard`: empty is all of the work.
 *
 * @throws UsageError when it is neither `i/n` with 1 ≤ i ≤ n nor `auto` inside an array job
 */
export function parseShard(shard: string, env: Environment = process.env): Part | undefined {
  if (shard === '') return undefined
  const words = /^(\d+)\/(\d+)$/.exec(shard)
  const part =
    shard === 'auto'
      ? partOfJob(env)
      : words
        ? { index: Number(words[1]), count: Number(words[2]) }
        : undefined
  const whole = part && Number.isInteger(part.index) && Number.isInteger(part.count)
  if (part && whole && part.index >= 1 && part.index <= part.count) return part
  const wanted =
    shard === 'auto'
      ? 'SLURM_ARRAY_TASK_ID and SLURM_ARRAY_TASK_COUNT, or JOB_COMPLETION_INDEX and JOB_COMPLETIONS'
      : 'i/n with i from 1 to n, or auto'
  throw new UsageError(
    `--shard=${shard}: found ${part ? `${part.index} of ${part.count}` : 'no such numbers'}, wanted ${wanted}`,
    { found: shard, wanted },
  )
}

const DIGITS = 12

/**
 * Whether an item belongs to a part. The digests are divided into equal ranges, so parts laid
 * behind each other are in the order of the digests, and equal contents fall into one part.
 *
 * @param digest hexadecimal
 */
export function isInPart(digest: string, part: Part | undefined): boolean {
  if (!part) return true
  const place = parseInt(digest.slice(0, DIGITS), 16) / 16 ** DIGITS
  return Math.floor(place * part.count) === part.index - 1
}
