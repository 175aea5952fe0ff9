/** One quantity held against a reference. */
export interface VerifyRow {
  readonly name: string
  readonly found: number | string
  readonly wanted: number | string
  /** how far apart, in the unit of `tolerance` */
  readonly deviation: number
  readonly tolerance: number
  readonly ok: boolean
}

/** What a verification may be told besides its reference; each reads what it needs. */
export interface VerifyOptions {
  /** stands before every name of drawn numbers, as it did where the reference was computed */
  readonly prefix?: string
  readonly engine?: string
  /** folder of the pictures that the reference names */
  readonly data?: string
  /** entries of the reference to check, apart by commas; all when absent */
  readonly only?: string
}

/** The rows of a verification, all at once or as they are computed. */
export type VerifyRows = AsyncIterable<VerifyRow> | Iterable<VerifyRow>

/** The row of a number that may differ from `wanted` by `tolerance`. */
export function numberRow(
  name: string,
  found: number,
  wanted: number,
  tolerance: number,
): VerifyRow {
  const deviation = found === wanted ? 0 : Math.abs(found - wanted)
  return { name, found, wanted, deviation, tolerance, ok: deviation <= tolerance }
}

/** The row of a text, which is equal or not. */
export function textRow(name: string, found: string, wanted: string): VerifyRow {
  const ok = found === wanted
  return { name, found, wanted, deviation: ok ? 0 : 1, tolerance: 0, ok }
}
