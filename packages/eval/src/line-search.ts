const SUFFICIENT_DECREASE = 1e-3
const CURVATURE = 0.9
const BRACKET_TOLERANCE = 0.1
const LARGEST_STEP = 1e10
const MAX_EVALUATIONS = 20

/** Value and slope of a function along a line. */
export interface LinePoint {
  readonly step: number
  readonly value: number
  readonly slope: number
}

interface Bracket {
  best: LinePoint
  other: LinePoint
  closed: boolean
}

/**
 * Line search of Moré and Thuente (1994), with the constants of L-BFGS-B: the returned point meets
 * the strong Wolfe conditions (1e-3, 0.9), or is the best one found when rounding allows no better.
 *
 * @param at evaluates the line at a step > 0; the last call is always the returned point
 * @param start the point at step 0; its slope must be negative
 */
export function searchLine(
  at: (step: number) => LinePoint,
  start: LinePoint,
  firstStep: number,
): LinePoint {
  const decrease = SUFFICIENT_DECREASE * start.slope
  const bracket: Bracket = { best: start, other: start, closed: false }
  let lowest = 0
  let highest = 5 * firstStep
  let width = LARGEST_STEP
  let widthBefore = 2 * width
  let reachesMinimum = false
  let step = firstStep
  for (let evaluations = 1; ; evaluations++) {
    const point = at(step)
    const line = start.value + step * decrease
    if (point.value <= line && point.slope >= 0) reachesMinimum = true
    if (point.value <= line && Math.abs(point.slope) <= -CURVATURE * start.slope) return point
    const exhausted = bracket.closed && (step <= lowest || step >= highest)
    const narrow = bracket.closed && highest - lowest <= BRACKET_TOLERANCE * highest
    const tooFar = step >= LARGEST_STEP && point.value <= line && point.slope <= decrease
    if (exhausted || narrow || tooFar || evaluations === MAX_EVALUATIONS) {
      const { best } = bracket
      return point.value <= best.value || best.step === 0 ? point : at(best.step)
    }
    if (!reachesMinimum && point.value <= bracket.best.value && point.value > line) {
      const tilt = (p: LinePoint, sign: number): LinePoint => ({
        step: p.step,
        value: p.value - sign * p.step * decrease,
        slope: p.slope - sign * decrease,
      })
      const tilted = {
        best: tilt(bracket.best, 1),
        other: tilt(bracket.other, 1),
        closed: bracket.closed,
      }
      step = narrowBracket(tilted, tilt(point, 1), lowest, highest)
      bracket.best = tilt(tilted.best, -1)
      bracket.other = tilt(tilted.other, -1)
      bracket.closed = tilted.closed
    } else {
      step = narrowBracket(bracket, point, lowest, highest)
    }
    const { best, other, closed } = bracket
    if (closed) {
      const span = Math.abs(other.step - best.step)
      if (span >= 0.66 * widthBefore) step = best.step + 0.5 * (other.step - best.step)
      widthBefore = width
      width = span
      lowest = Math.min(best.step, other.step)
      highest = Math.max(best.step, other.step)
    } else {
      lowest = step + 1.1 * (step - best.step)
      highest = step + 4 * (step - best.step)
    }
    step = Math.min(Math.max(step, 0), LARGEST_STEP)
    const stuck = closed && (step <= lowest || step >= highest)
    if (stuck || (closed && highest - lowest <= BRACKET_TOLERANCE * highest)) step = best.step
    if (step === 0) return start
  }
}

/** One safeguarded step (MINPACK-2 dcstep): moves the bracket and returns the next trial step. */
function narrowBracket(
  bracket: Bracket,
  point: LinePoint,
  lowest: number,
  highest: number,
): number {
  const { best, other } = bracket
  const opposite = point.slope * Math.sign(best.slope) < 0
  let next: number
  if (point.value > best.value) {
    const cubic = cubicMinimum(point, best)
    const quadratic =
      best.step +
      (best.slope / ((best.value - point.value) / (point.step - best.step) + best.slope) / 2) *
        (point.step - best.step)
    next =
      Math.abs(cubic - best.step) < Math.abs(quadratic - best.step)
        ? cubic
        : cubic + (quadratic - cubic) / 2
    bracket.closed = true
  } else if (opposite) {
    const cubic = cubicMinimum(point, best)
    const secant = secantMinimum(best, point)
    next = Math.abs(cubic - point.step) > Math.abs(secant - point.step) ? cubic : secant
    bracket.closed = true
  } else if (Math.abs(point.slope) < Math.abs(best.slope)) {
    const found = cubicMinimum(point, best)
    const ahead = (found - point.step) * (point.step - best.step) > 0
    const cubic = ahead ? found : point.step > best.step ? highest : lowest
    const secant = secantMinimum(best, point)
    const cubicIsNearer = Math.abs(cubic - point.step) < Math.abs(secant - point.step)
    if (bracket.closed) {
      next = cubicIsNearer ? cubic : secant
      const bound = point.step + 0.66 * (other.step - point.step)
      next = point.step > best.step ? Math.min(bound, next) : Math.max(bound, next)
    } else {
      next = Math.min(Math.max(cubicIsNearer ? secant : cubic, lowest), highest)
    }
  } else if (bracket.closed) {
    next = cubicMinimum(point, other)
  } else {
    next = point.step > best.step ? highest : lowest
  }
  if (point.value > best.value) {
    bracket.other = point
  } else {
    if (opposite) bracket.other = best
    bracket.best = point
  }
  return next
}

/** Minimiser of the cubic through two points and their slopes. */
function cubicMinimum(from: LinePoint, to: LinePoint): number {
  const span = to.step - from.step
  const theta = (3 * (from.value - to.value)) / span + from.slope + to.slope
  const scale = Math.max(Math.abs(theta), Math.abs(from.slope), Math.abs(to.slope))
  const radicand = (theta / scale) ** 2 - (from.slope / scale) * (to.slope / scale)
  const gamma = scale * Math.sqrt(Math.max(0, radicand)) * Math.sign(span)
  return from.step + (span * (gamma - from.slope + theta)) / (2 * gamma - from.slope + to.slope)
}

const secantMinimum = (from: LinePoint, to: LinePoint): number =>
  to.step + (to.slope / (to.slope - from.slope)) * (from.step - to.step)
