import type { Ops } from './ops.ts'

/** Widths of the linear heads; a head that is absent or 0 wide is not built. */
export interface Heads {
  /** the face-similarity embedding */
  readonly fec: number
  /** expression logits */
  readonly affectnet: number
  /** the vector that imitates the teachers */
  readonly distill?: number
}

const HEADS = ['fec', 'affectnet', 'distill'] as const

/** The heads that are built, in order. */
export const headNames = (heads: Heads): string[] => HEADS.filter(head => heads[head])

/** `embedding` as it is, and `heads.<name>` of it after dropout. */
export function buildHeads<T>(
  ops: Ops<T>,
  embedding: T,
  heads: Heads,
  rate: number,
): Record<string, T> {
  const dropped = ops.dropout(embedding, { rate })
  const outputs: Record<string, T> = { embedding }
  for (const head of HEADS) {
    const out = heads[head]
    if (out) outputs[head] = ops.dense(`heads.${head}`, dropped, { out })
  }
  return outputs
}
