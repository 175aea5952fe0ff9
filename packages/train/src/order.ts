import { openRandom } from '@deepfever/core'

/**
 * Endless positions into `length` items: every pass is a fresh permutation, a function of the
 * stream's name and the pass alone. Position n is known without the ones before it having run.
 */
export function openOrder(name: string, length: number): (n: number) => number {
  let pass = -1
  let order = new Uint32Array()
  return n => {
    const wanted = Math.floor(n / length)
    if (wanted !== pass) {
      pass = wanted
      order = openRandom(`${name}/pass/${pass}`).shuffle(Uint32Array.from({ length }, (_, i) => i))
    }
    return order[n % length]!
  }
}

/** Whether the `n`-th face of a stream is mirrored: a fair coin by stream and position. */
export const isFlipped = (name: string, n: number): boolean =>
  openRandom(`${name}/flip/${n}`).next() < 0.5
