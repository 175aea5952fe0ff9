declare module '@cornerstonejs/codec-libjpeg-turbo-8bit/decodewasmjs' {
  /** libjpeg-turbo, compiled to WebAssembly. */
  export interface JpegDecoder {
    /** memory for the file's bytes */
    getEncodedBuffer(sizeBytes: number): Uint8Array
    decode(): void
    /** the pixels, valid until the next picture */
    getDecodedBuffer(): Uint8Array
    getFrameInfo(): { width: number; height: number; componentCount: number }
  }
  const load: () => Promise<{ readonly JPEGDecoder: new () => JpegDecoder }>
  // eslint-disable-next-line no-restricted-exports -- the module is what it is
  export default load
}
