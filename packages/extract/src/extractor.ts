import { StageError, mapOrdered } from '@deepfever/core'
import { findFaces, type CutFace, type Gate, type PictureAnswer } from '@deepfever/faces'
import { decodeCrop, decodeFrames, findFfmpeg, readPicture, type Picture } from '@deepfever/media'
import { openModelExtractor, readModel } from '@deepfever/models'
import { readOutputs } from './outputs.ts'

/** One face and what the model says of it. */
export interface ExtractedFace extends CutFace {
  readonly embedding: Float32Array
  /** probability of each of the extractor's labels; undefined where the model gives none */
  readonly expression: Float32Array | undefined
  /** similarity embedding, raw; undefined where the model gives none */
  readonly fec: Float32Array | undefined
}

/** A picture, or a frame of a clip, on its way in. */
export interface Shown {
  readonly source: string
  /** microseconds from the clip's first frame; undefined for a picture */
  readonly ptsUs: number | undefined
  /** the encoded picture, or where it lies */
  readonly file: Uint8Array | string
}

/** A picture or frame with its faces, largest first; `code` says why there are none. */
export interface Extracted extends Shown {
  readonly faces: readonly ExtractedFace[]
  readonly code: string
}

/** What an extractor is opened with. */
export interface ExtractorOptions {
  /** ONNX file with contract.json beside it */
  readonly model: string
  /** contract, where it lies elsewhere */
  readonly contract?: string
  /** threads that find faces, and blocks of faces under way; no result depends on it */
  readonly workers?: number
  /** least probability of the detector (0.95) and least side of a box in pixels (20) */
  readonly gate?: Partial<Gate>
}

/** How frames are taken from a clip. */
export interface FrameOptions {
  /** frames a second; default 1 */
  readonly fps?: number
  /** longest side in pixels, default 1280; larger frames are scaled down */
  readonly maxSide?: number
  readonly signal?: AbortSignal
}

/** A model and a face finder, ready for pictures and clips. */
export interface Extractor {
  /** expression classes in the order of `expression`; empty where the model gives none */
  readonly labels: readonly string[]
  /** names the weights and everything that turns pixels into a vector */
  readonly digest: string
  /** faces of one run of the model; numbers may differ in last bits when blocks are cut elsewhere */
  readonly batch: number
  /** The faces of one picture, largest first. @throws PictureError when it cannot be decoded */
  extract(picture: Uint8Array | string): Promise<readonly ExtractedFace[]>
  /** The same for many, in their order; a picture that cannot be decoded has a `code`. */
  extractAll(pictures: AsyncIterable<Shown> | Iterable<Shown>): AsyncGenerator<Extracted>
  /** The frames of a clip with their faces. @throws ClipError behind the good frames */
  extractClip(path: string, options?: FrameOptions): AsyncGenerator<Extracted>
  close(): Promise<void>
}

const GATE: Gate = { probability: 0.95, minFace: 20 }
interface Pending {
  readonly shown: Shown
  readonly answer: PictureAnswer
}

/**
 * Opens a model for use.
 *
 * @throws FormatError with an example when the model has no contract
 */
export async function openExtractor(options: ExtractorOptions): Promise<Extractor> {
  const { workers = 2, contract = '' } = options
  const gate = { ...GATE, ...options.gate }
  const model = await readModel(options.model, { contract, output: '' })
  const { labels, split } = readOutputs(model)
  const { bytes, form, digest, terms } = model
  const network = openModelExtractor(bytes, { ...form, name: model.path, digest, terms, workers })

  const embed = async (crops: readonly CutFace[]): Promise<ExtractedFace[]> => {
    const pictures: Picture[] = []
    for (const { crop } of crops) pictures.push(await decodeCrop(crop, network.size))
    const outputs = split(await network.run(pictures), crops.length)
    return crops.map((face, i) => ({ ...face, ...outputs[i]! }))
  }

  async function* extractAll(
    pictures: AsyncIterable<Shown> | Iterable<Shown>,
  ): AsyncGenerator<Extracted> {
    const jobOf = ({ file }: Shown) => ({ file, gate })
    const found = findFaces(toAsync(pictures), jobOf, { workers, detect: true })
    const blocks = blocksOf(found, network.batch)
    // Of a picture whose faces fall into two blocks, the first part waits here.
    let waiting: ExtractedFace[] = []
    const embedded = mapOrdered(blocks, workers + 1, async block => ({
      block,
      faces: block.crops.length > 0 ? await embed(block.crops) : [],
    }))
    for await (const { block, faces } of embedded) {
      waiting.push(...faces)
      for (const { shown, answer } of block.ended) {
        const count = 'faces' in answer ? answer.faces.length : 0
        const code = 'faces' in answer ? '' : answer.rejected
        yield { ...shown, faces: waiting.slice(0, count), code }
        waiting = waiting.slice(count)
      }
    }
  }

  return {
    labels,
    digest,
    batch: network.batch,
    extractAll,
    async extract(picture) {
      const file = typeof picture === 'string' ? await checked(picture) : picture
      const shown = { source: '', ptsUs: undefined, file }
      for await (const { faces, code } of extractAll([shown])) {
        if (code !== '' && !NO_FACE.includes(code))
          throw new StageError(`the picture cannot be used: ${code}`, { code })
        return faces
      }
      return []
    },
    async *extractClip(path, { fps = 1, maxSide = 1280, signal } = {}) {
      const decoder = {
        ...{ ffmpeg: await findFfmpeg(), threads: 2, idleMs: 30_000 },
        signal: signal ?? new AbortController().signal,
      }
      const sampling = { select: 'rate', fps, count: 1, times: [], maxSide } as const
      const frames = decodeFrames({ path }, sampling, decoder)
      const shown = async function* () {
        for await (const { ptsUs, image } of frames) yield { source: path, ptsUs, file: image }
      }
      yield* extractAll(shown())
    },
    close: () => network.close(),
  }
}

/** Codes of a picture that was read well. */
const NO_FACE = ['no_face', 'low_probability', 'face_too_small']

/** Decodes once for the error in words, which threads only give as a code. */
async function checked(path: string): Promise<string> {
  await readPicture(path)
  return path
}

async function* toAsync<T>(items: AsyncIterable<T> | Iterable<T>): AsyncGenerator<T> {
  yield* items
}

interface Block {
  readonly crops: readonly CutFace[]
  /** pictures whose last face stands in this block or before it */
  readonly ended: readonly Pending[]
}

/** Faces in blocks of the model's batch, in order: the blocks that an evaluation of them forms. */
async function* blocksOf(
  found: AsyncIterable<{ readonly item: Shown; readonly answer: PictureAnswer }>,
  size: number,
): AsyncGenerator<Block> {
  let crops: CutFace[] = []
  let ended: Pending[] = []
  for await (const { item: shown, answer } of found) {
    for (const face of 'faces' in answer ? answer.faces : []) {
      if (crops.length === size) {
        yield { crops, ended }
        crops = []
        ended = []
      }
      crops.push(face)
    }
    ended.push({ shown, answer })
    // Nothing but empty pictures: they need not wait for a face.
    if (crops.length === 0 && ended.length >= size) yield { crops, ended: ended.splice(0) }
  }
  if (ended.length > 0) yield { crops, ended }
}
