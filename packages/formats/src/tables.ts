import {
  bytes,
  defineTable,
  float32,
  float32List,
  float32Vector,
  int32,
  int64,
  utf8,
} from './table.ts'
import type { RowOf } from './table.ts'

/** One decoded video frame. Version 1. */
export const frames = defineTable('frames', 1, {
  frameId: utf8('`<clipId>@<ptsUs>`'),
  clipId: utf8("first 16 hex digits of the sha256 of the clip's bytes"),
  clipName: utf8('path of the clip below its source folder'),
  ptsUs: int64('presentation time in microseconds from the start of the clip'),
  index: int32('running number of the frame within its clip, from 0'),
  width: int32('pixels'),
  height: int32('pixels'),
  image: bytes('RGB picture, JPEG quality 95, 4:4:4'),
})
/** A row of {@link frames}. */
export type Frame = RowOf<typeof frames>

/** One clip and what became of it, in ascending order of `clipId`, then `clipName`. Version 1. */
export const clips = defineTable('clips', 1, {
  clipId: utf8("first 16 hex digits of the sha256 of the clip's bytes"),
  clipName: utf8('path of the clip below its source folder'),
  frames: int32('frames that were taken'),
  code: utf8('why it was turned away or, with frames, what went wrong half-way; empty: nothing'),
})
/** A row of {@link clips}. */
export type ClipRow = RowOf<typeof clips>

/** One face crop. Version 1. */
export const faces = defineTable('faces', 1, {
  faceId: utf8('`<frameId or image id>#<rank>`; rank 0 is the largest box'),
  frameId: utf8('the frame or image the face was cut from'),
  source: utf8('path of the clip or picture below its source folder'),
  box: float32List(4, 'x1, y1, x2, y2 in pixels of the frame, origin top left'),
  landmarks: float32List(10, 'x, y of left eye, right eye, nose, left and right mouth corner'),
  probability: float32("the detector's, 0 to 1; 0 where the crop was given"),
  cropKind: utf8('`detected`, or `given` where the box or picture of the data set was kept'),
  label: int32("class of the data set's card, -1 where there is none"),
  split: utf8('`train`, `val`, `test`, or empty'),
  crop: bytes('140 x 140 RGB, JPEG quality 95, 4:4:4'),
})
/** A row of {@link faces}. */
export type Face = RowOf<typeof faces>

/** What a corpus says of a face beside its class. Version 1. */
export const annotations = defineTable('annotations', 1, {
  faceId: utf8('face of the same artifact'),
  valence: float32('unpleasant to pleasant, -1 to 1; -2 where there is none'),
  arousal: float32('calm to excited, -1 to 1; -2 where there is none'),
  points: float32List(
    136,
    "x, y of the corpus's 68 landmarks, pixels; all -1 where there are none",
  ),
})
/** A row of {@link annotations}. */
export type Annotation = RowOf<typeof annotations>

/** What a face found in a clip is worth, one row a face of the same artifact. Version 1. */
export const qualities = defineTable('qualities', 1, {
  faceId: utf8('face of the same artifact'),
  trackId: utf8('`<clipId>~<number>`: faces that follow each other in one place of a clip'),
  side: float32('shorter side of the box, pixels of the frame'),
  sharpness: float32("variance of the Laplacian of the crop's luma, 8-bit steps squared"),
  brightness: float32("mean luma of the crop's middle, 0 to 1"),
  yaw: float32('degrees from the landmarks, 0 looks into the camera, positive to its right'),
  pitch: float32('degrees from the landmarks, positive up'),
  roll: float32('degrees between the line of the eyes and the horizontal'),
  signature: bytes('128 bits: where the luma of the crop rises from left to right, 16 x 8 cells'),
})
/** A row of {@link qualities}. */
export type Quality = RowOf<typeof qualities>

/** What was turned away in one clip for one reason. Version 1. */
export const tallies = defineTable('tallies', 1, {
  clipId: utf8('clip of the same artifact'),
  clipName: utf8('path of the clip below its source folder'),
  code: utf8('the reason'),
  count: int32('clips, frames or faces turned away for it'),
  example: utf8('the first of them: clip name, frameId or faceId'),
  crop: bytes("the first one's crop, as in faces; empty where there was no face"),
})
/** A row of {@link tallies}. */
export type Tally = RowOf<typeof tallies>

/** Three faces and the vote on which of them is the odd one. Version 1. */
export const triplets = defineTable('triplets', 1, {
  tripletId: utf8('`fec:<split>-<row of the CSV>`'),
  first: utf8('faceId'),
  second: utf8('faceId'),
  third: utf8('faceId'),
  odd: int32('0, 1 or 2: the face that differs from the other two'),
  kind: utf8('`ONE_CLASS_TRIPLET`, `TWO_CLASS_TRIPLET` or `THREE_CLASS_TRIPLET`'),
  votesFor: int32('annotators that named the odd one'),
  votesTotal: int32('annotators'),
  split: utf8('`train` or `test`'),
})
/** A row of {@link triplets}. */
export type Triplet = RowOf<typeof triplets>

/** What the teachers say of one face: the blocks are named in the metadata. Version 1. */
export const targets = defineTable(
  'targets',
  1,
  {
    faceId: utf8('face of the faces artifact named in the inputs'),
    view: utf8('`plain` or `flipped` (left and right exchanged)'),
    target: float32Vector('the blocks in order, each of Euclidean length 1'),
  },
  'parquet',
)
/** A row of {@link targets}. */
export type Target = RowOf<typeof targets>

/** Which steps of a training run used a face; the table of a checkpoint. Version 1. */
export const uses = defineTable('uses', 1, {
  faceId: utf8('face of a faces artifact named in the inputs; one that no step used has no row'),
  stream: utf8('`triplets`, `labelled` or `unlabelled`: as what it was trained on'),
  batches: int32('steps whose batch held it'),
  firstStep: int32('the first of them, counted from 0 as in metrics.jsonl'),
  lastStep: int32('the last of them'),
})
/** A row of {@link uses}. */
export type Use = RowOf<typeof uses>

/** A feature vector of one face. Version 1. */
export const embeddings = defineTable(
  'embeddings',
  1,
  {
    faceId: utf8('face of the faces artifact named in the inputs'),
    vector: float32Vector("the extractor's output, raw"),
    label: int32("class of the data set's card, -1 where there is none"),
    split: utf8('`train`, `val`, `test`, or empty'),
  },
  'parquet',
)
/** A row of {@link embeddings}. */
export type Embedding = RowOf<typeof embeddings>

/**
 * What a model says of one face of a picture or clip; a file lacks the columns of outputs that its
 * model does not have. Version 1.
 */
export const features = defineTable(
  'features',
  1,
  {
    faceId: utf8('`<source>@<ptsUs>#<rank>`, without time for a picture; rank 0: largest box'),
    source: utf8('path of the picture or clip as it was found'),
    ptsUs: int64('microseconds from the start of the clip; -1 for a picture'),
    box: float32List(4, 'x1, y1, x2, y2 in pixels of the frame, origin top left'),
    landmarks: float32List(10, 'x, y of left eye, right eye, nose, left and right mouth corner'),
    probability: float32("the detector's, 0 to 1"),
    side: float32('shorter side of the box, pixels of the frame'),
    sharpness: float32("variance of the Laplacian of the crop's luma, 8-bit steps squared"),
    brightness: float32("mean luma of the crop's middle, 0 to 1"),
    yaw: float32('degrees, as in qualities'),
    pitch: float32('degrees, as in qualities'),
    roll: float32('degrees, as in qualities'),
    embedding: float32Vector("the model's feature vector, raw"),
    expression: float32Vector("probability of each class, in the order of the model's labels"),
    fec: float32Vector('similarity embedding, raw'),
  },
  'parquet',
)
/** A row of {@link features}; `expression` and `fec` where the model has them. */
export type FeatureRow = Omit<RowOf<typeof features>, 'expression' | 'fec'> &
  Partial<Pick<RowOf<typeof features>, 'expression' | 'fec'>>

/** An embedding as product codes; the centres stand in codebook.safetensors. Version 1. */
export const codes = defineTable('codes', 1, {
  faceId: utf8('face of the features file named in the inputs'),
  code: bytes('one byte a part of the embedding: the centre that is nearest'),
})
/** A row of {@link codes}. */
export type CodeRow = RowOf<typeof codes>

/** What an evaluation made of one face or triplet. Version 1. */
export const judgements = defineTable(
  'judgements',
  1,
  {
    id: utf8('faceId or tripletId'),
    label: int32('class, or the odd face of a triplet'),
    predicted: int32('class or odd face; -1 where nothing could be judged, which counts as wrong'),
    confidence: float32("the classifier's probability of its answer; 0 for triplets"),
    right: int32('1 or 0'),
    leaked: int32('1 where training has a near-duplicate, so that the headline leaves it out'),
  },
  'parquet',
)
/** A row of {@link judgements}. */
export type Judgement = RowOf<typeof judgements>
