/**
 * Maps with at most `width` calls under way and yields the results in the order of the inputs.
 * Reads at most `width` inputs ahead, so memory is bounded whatever the length. When the inputs end
 * with an error, the results of those before it are given first.
 */
export async function* mapOrdered<A, B>(
  inputs: Iterable<A> | AsyncIterable<A>,
  width: number,
  work: (input: A, index: number) => Promise<B>,
): AsyncGenerator<B> {
  const under: Promise<B>[] = []
  const ended: { thrown: unknown }[] = []
  // Caught apart, so that an error of `work` or of the reader is not taken for one of the inputs.
  async function* readable() {
    try {
      yield* inputs
    } catch (thrown) {
      ended.push({ thrown })
    }
  }
  let index = 0
  try {
    for await (const input of readable()) {
      const result = work(input, index++)
      result.catch(() => {}) // seen when its turn comes, or swallowed when an earlier one threw
      under.push(result)
      if (under.length >= width) yield await under.shift()!
    }
    while (under.length) yield await under.shift()!
    if (ended[0]) throw ended[0].thrown
  } finally {
    await Promise.allSettled(under)
  }
}

/**
 * Asks a generator for up to `count` values before they are wanted, from now on: it works on while
 * its reader is busy. Leaving the loop ends it once it has given what it was asked for.
 */
export function readAhead<T, R>(source: AsyncGenerator<T, R>, count: number): AsyncGenerator<T, R> {
  const asked: Promise<IteratorResult<T, R>>[] = []
  const ask = () => {
    const next = source.next()
    next.catch(() => {}) // seen when its turn comes
    asked.push(next)
  }
  for (let i = 0; i < count; i++) ask()
  return (async function* () {
    try {
      for (;;) {
        const { done, value } = await asked.shift()!
        if (done) return value
        ask()
        yield value
      }
    } finally {
      await source.return(undefined as R)
    }
  })()
}
