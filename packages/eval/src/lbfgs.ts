import { searchLine, type LinePoint } from './line-search.ts'

/** Writes the gradient at `at` into `gradient` and returns the value. */
export type Objective = (at: Float64Array, gradient: Float64Array) => number

/** Where a minimisation stands after an iteration; the arrays are reused by the next one. */
export interface Iterate {
  readonly iteration: number
  readonly evaluations: number
  readonly at: Float64Array
  readonly value: number
  readonly gradientMax: number
}

/** Options of `minimize`. */
export interface MinimizeOptions {
  /** stop when max |gradient| is below this times its value at the start */
  readonly tolerance: number
  readonly maxIter: number
  /** pairs kept for the inverse Hessian, 10 by default */
  readonly memory?: number
  readonly onIterate?: (iterate: Iterate) => void
}

/** The end of a minimisation; `rounding`: no step lowers the value in float64 any more. */
export interface Minimum extends Iterate {
  readonly reason: 'gradient' | 'rounding' | 'iterations'
}

/**
 * Limited-memory BFGS (Liu & Nocedal 1989) in float64 with a Moré-Thuente line search. The first
 * step has length one, as in L-BFGS-B, so that the path does not depend on the objective's scale.
 */
export function minimize(
  objective: Objective,
  start: Float64Array,
  { tolerance, maxIter, memory = 10, onIterate }: MinimizeOptions,
): Minimum {
  const size = start.length
  const at = Float64Array.from(start)
  const gradient = new Float64Array(size)
  const origin = new Float64Array(size)
  const gradientBefore = new Float64Array(size)
  const direction = new Float64Array(size)
  const pairs: Pair[] = []
  let evaluations = 1
  let value = objective(at, gradient)
  let gradientMax = largest(gradient)
  const wanted = tolerance * gradientMax
  const iterate = (iteration: number): Iterate => ({
    iteration,
    evaluations,
    at,
    value,
    gradientMax,
  })
  for (let iteration = 0; ; iteration++) {
    if (gradientMax <= wanted) return { ...iterate(iteration), reason: 'gradient' }
    if (iteration === maxIter) return { ...iterate(iteration), reason: 'iterations' }
    descend(direction, gradient, pairs)
    let slope = dot(direction, gradient)
    if (!(slope < 0)) {
      pairs.length = 0
      descend(direction, gradient, pairs)
      slope = dot(direction, gradient)
    }
    origin.set(at)
    gradientBefore.set(gradient)
    const walk = (step: number): LinePoint => {
      for (let i = 0; i < size; i++) at[i] = origin[i]! + step * direction[i]!
      evaluations++
      const found = objective(at, gradient)
      return { step, value: found, slope: dot(direction, gradient) }
    }
    const firstStep = pairs.length === 0 ? 1 / Math.sqrt(dot(direction, direction)) : 1
    const point = searchLine(walk, { step: 0, value, slope }, firstStep)
    if (!(point.value < value)) {
      at.set(origin)
      gradient.set(gradientBefore)
      return { ...iterate(iteration), reason: 'rounding' }
    }
    value = point.value
    gradientMax = largest(gradient)
    remember(pairs, memory, point.step, direction, gradient, gradientBefore)
    onIterate?.(iterate(iteration + 1))
  }
}

interface Pair {
  readonly step: Float64Array
  readonly change: Float64Array
  readonly curvature: number
}

function remember(
  pairs: Pair[],
  memory: number,
  length: number,
  direction: Float64Array,
  gradient: Float64Array,
  gradientBefore: Float64Array,
): void {
  const step = direction.map(value => value * length)
  const change = gradient.map((value, i) => value - gradientBefore[i]!)
  const curvature = dot(step, change)
  if (curvature <= Number.EPSILON * dot(change, change)) return
  pairs.push({ step, change, curvature })
  if (pairs.length > memory) pairs.shift()
}

/** The two-loop recursion: direction = -H gradient. */
function descend(direction: Float64Array, gradient: Float64Array, pairs: readonly Pair[]): void {
  for (let i = 0; i < gradient.length; i++) direction[i] = -gradient[i]!
  const shares = new Float64Array(pairs.length)
  for (let p = pairs.length - 1; p >= 0; p--) {
    const { step, change, curvature } = pairs[p]!
    shares[p] = dot(step, direction) / curvature
    addScaled(direction, change, -shares[p]!)
  }
  const newest = pairs.at(-1)
  if (newest === undefined) return
  const scale = newest.curvature / dot(newest.change, newest.change)
  for (let i = 0; i < direction.length; i++) direction[i]! *= scale
  pairs.forEach(({ step, change, curvature }, p) =>
    addScaled(direction, step, shares[p]! - dot(change, direction) / curvature),
  )
}

function addScaled(sum: Float64Array, term: Float64Array, factor: number): void {
  for (let i = 0; i < sum.length; i++) sum[i]! += factor * term[i]!
}

function dot(a: Float64Array, b: Float64Array): number {
  let sum = 0
  for (let i = 0; i < a.length; i++) sum += a[i]! * b[i]!
  return sum
}

function largest(values: Float64Array): number {
  let max = 0
  for (const value of values) max = Math.max(max, Math.abs(value))
  return max
}
