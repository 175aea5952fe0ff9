/** Rows that lie together by a key, the keys ascending; asked for in that order, read once. */
export interface Groups<R> {
  /** The rows of `key`; those of smaller keys are passed over and lost. */
  take(key: string): AsyncGenerator<R>
}

/** Opens rows that are sorted by `keyOf` (code units). */
export function openGroups<R>(rows: AsyncIterable<R>, keyOf: (row: R) => string): Groups<R> {
  const iterator = rows[Symbol.asyncIterator]()
  let head: IteratorResult<R> | undefined
  return {
    async *take(key) {
      for (;;) {
        head ??= await iterator.next()
        if (head.done || keyOf(head.value) > key) return
        const { value } = head
        head = undefined
        if (keyOf(value) === key) yield value
      }
    },
  }
}
