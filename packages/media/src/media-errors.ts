import { DeepFeverError } from '@deepfever/core'
import type { ErrorFields } from '@deepfever/core'

/** Why a picture was refused; stable, for tables of rejects. */
export type PictureFault =
  | 'empty_file'
  | 'not_a_picture'
  | 'unsupported_picture'
  | 'truncated_picture'
  | 'damaged_picture'
  | 'too_many_pixels'
  | 'too_many_bytes'

/** A file that cannot become pixels; `code` says why. */
export class PictureError extends DeepFeverError {
  override readonly name = 'PictureError'
  readonly code: PictureFault
  constructor(code: PictureFault, message: string, fields: ErrorFields = {}, cause?: unknown) {
    super(message, { code, ...fields }, cause)
    this.code = code
  }
}

/** Why a clip was refused; stable, for tables of rejects. */
export type ClipFault =
  | 'empty_file'
  | 'unsupported_container'
  | 'undecodable_clip'
  | 'damaged_clip'
  | 'encrypted_clip'
  | 'no_video_stream'
  | 'stalled_clip'

/** A clip that cannot be read; `code` says why, `fields.stderr` holds ffmpeg's last lines. */
export class ClipError extends DeepFeverError {
  override readonly name = 'ClipError'
  readonly code: ClipFault
  constructor(code: ClipFault, message: string, fields: ErrorFields = {}, cause?: unknown) {
    super(message, { code, ...fields }, cause)
    this.code = code
  }
}

/** The code under which an input is entered as rejected; anything but bad input is thrown on. */
export function codeOf(thrown: unknown): PictureFault | ClipFault {
  if (thrown instanceof PictureError || thrown instanceof ClipError) return thrown.code
  throw thrown
}
