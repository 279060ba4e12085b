/** A slope and the half-width of the interval that holds it with 95 % confidence. */
export interface Slope {
  readonly perUnit: number
  readonly uncertainty: number
}

/** Student's t for 95 %, two-sided, by degrees of freedom; beyond them the last serves, a little wide. */
const T_95 = [
  ...[
    Number.NaN,
    12.71,
    4.3,
    3.18,
    2.78,
    2.57,
    2.45,
    2.36,
    2.31,
    2.26,
    2.23,
    2.2,
    2.18,
    2.16,
    2.14,
  ],
  ...[2.13, 2.12, 2.11, 2.1, 2.09, 2.09],
]

/** By least squares; NaN of fewer than two different `x`. */
export function leastSquares(points: readonly (readonly [x: number, y: number])[]): number {
  const mean = (values: readonly number[]) =>
    values.reduce((total, value) => total + value, 0) / values.length
  const meanX = mean(points.map(([x]) => x))
  const meanY = mean(points.map(([, y]) => y))
  const over = points.reduce((total, [x, y]) => total + (x - meanX) * (y - meanY), 0)
  return over / points.reduce((total, [x]) => total + (x - meanX) ** 2, 0)
}

/**
 * The mean of slopes that were measured in rounds. What slows a whole round down is in all its points,
 * so it is in their level, not in their slope.
 */
export function slopeOf(rounds: readonly number[]): Slope {
  const count = rounds.length
  const mean = rounds.reduce((total, value) => total + value, 0) / count
  const squares = rounds.reduce((total, value) => total + (value - mean) ** 2, 0)
  const t = T_95[Math.min(count - 1, T_95.length - 1)] ?? Number.NaN
  return { perUnit: mean, uncertainty: (t * Math.sqrt(squares / (count - 1))) / Math.sqrt(count) }
}

/** The value that a share of all are not above: 0.5 for the median, 0.99 for the 99th percentile. */
export function percentile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((left, right) => left - right)
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? Number.NaN
}
