/** A share as text: `61.6 %`, or `none`. */
export const percent = (value: number | null): string =>
  value === null ? 'none' : `${(100 * value).toFixed(1)} %`

/** A share as a length of a style. */
export const place = (share: number): string =>
  `${(100 * Math.min(1, Math.max(0, share))).toFixed(2)}%`
