/** Facts of an error as fields, for programs: what the message says in words. */
export type ErrorFields = Readonly<Record<string, unknown>>

/** Base of every error that a user can mend. The message names place, found, wanted and remedy. */
export class DeepFeverError extends Error {
  override readonly name: string = 'DeepFeverError'
  readonly fields: ErrorFields
  constructor(message: string, fields: ErrorFields = {}, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause })
    this.fields = fields
  }
}

/** A file is not what its reader wanted: cut off, damaged, another version, another layout. */
export class FormatError extends DeepFeverError {
  override readonly name = 'FormatError'
}

/** Tensors or networks whose shapes do not fit together. */
export class ShapeError extends DeepFeverError {
  override readonly name = 'ShapeError'
}

/** The command line itself is wrong; the process exits with 2. */
export class UsageError extends DeepFeverError {
  override readonly name = 'UsageError'
}

/** A stage cannot run or finish: an input is missing, a place is taken, a ledger does not close. */
export class StageError extends DeepFeverError {
  override readonly name = 'StageError'
}

/** The message of anything thrown. */
export const messageOf = (thrown: unknown): string =>
  thrown instanceof Error ? thrown.message : String(thrown)
