/**
 * Maps with at most `width` calls under way and yields the results in the order of the inputs.
 * Reads at most `width` inputs ahead, so memory is bounded whatever the length.
 */
export async function* mapOrdered<A, B>(
  inputs: Iterable<A> | AsyncIterable<A>,
  width: number,
  work: (input: A, index: number) => Promise<B>,
): AsyncGenerator<B> {
  const under: Promise<B>[] = []
  let index = 0
  try {
    for await (const input of inputs) {
      const result = work(input, index++)
      result.catch(() => {}) // seen when its turn comes, or swallowed when an earlier one threw
      under.push(result)
      if (under.length >= width) yield await under.shift()!
    }
    while (under.length) yield await under.shift()!
  } finally {
    await Promise.allSettled(under)
  }
}
