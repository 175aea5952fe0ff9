import { StageError } from '@deepfever/core'
import type { Checkpoint } from '@deepfever/models'

/** One block of the target vector: a head of a teacher, L2-normalised on its own. */
export interface TargetBlock {
  /** digest of the teacher's checkpoint */
  readonly teacher: string
  readonly head: 'fec' | 'affectnet'
  readonly start: number
  readonly width: number
}

const HEADS = ['fec', 'affectnet'] as const

/**
 * Where each head of each teacher stands in the target vector (paper: 32, 8, 32, 8).
 *
 * @throws StageError when there is no teacher, or one lacks a head
 */
export function layoutOf(teachers: readonly Checkpoint[]): TargetBlock[] {
  const blocks: TargetBlock[] = []
  let start = 0
  for (const { digest, path, specification } of teachers)
    for (const head of HEADS) {
      const width = specification.heads[head]
      if (!width)
        throw new StageError(`${path}: the teacher has no ${head} head`, { path, wanted: head })
      blocks.push({ teacher: digest, head, start, width })
      start += width
    }
  if (blocks.length === 0) throw new StageError('no teacher given; wanted at least one', {})
  return blocks
}

/** Adds one head's rows to the targets, each divided by its length (zero stays zero). */
export function putBlock(
  into: readonly Float32Array[],
  { start, width }: TargetBlock,
  values: Float32Array,
): void {
  for (const [row, target] of into.entries()) {
    const vector = values.subarray(row * width, (row + 1) * width)
    const length = Math.max(1e-12, Math.sqrt(vector.reduce((sum, v) => sum + v * v, 0)))
    for (let i = 0; i < width; i++) target[start + i] = vector[i]! / length
  }
}
